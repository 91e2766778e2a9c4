//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), with the rules that Postgres has about it.

use std::{fmt, num::NonZeroU32};

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};
use base64::{Engine as _, prelude::BASE64_STANDARD};

/// The mechanism's name.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

/// The same, bound to the TLS connection.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// What binds it.
const BINDING: &str = "tls-server-end-point";

/// Rounds of PBKDF2, as many as Postgres makes.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");

/// SHA-256.
const HASH: usize = 32;

/// What passwords are judged by; the password itself can't be had from it. Its `Debug` is blank.
#[derive(Clone)]
pub struct Verifier {
    salt: [u8; 16],
    stored_key: [u8; HASH],
    server_key: [u8; HASH],
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

/// The client did not prove that it knows the password, or did not even try. Nobody is told which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotProven;

/// How an exchange is tied to the connection that it takes place on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding<'a> {
    /// Without TLS there is nothing to bind to.
    Impossible,
    /// The client did not choose to, though it was offered.
    Offered,
    /// The client chose to: this is what the server's certificate makes of it.
    Chosen(&'a [u8]),
}

/// An exchange that waits for the client's proof.
#[derive(Debug)]
pub struct Exchange {
    client_first_bare: String,
    server_first: String,
    /// What the client has to say about binding, in base64.
    binding: String,
    nonce: String,
}

impl Verifier {
    /// For a password, which is brought to its normal form (SASLprep) if it has one.
    #[must_use]
    pub fn new(password: &str) -> Verifier {
        let salt = random::<16>();
        Verifier::with_salt(password, salt)
    }

    fn with_salt(password: &str, salt: [u8; 16]) -> Verifier {
        let prepared = stringprep::saslprep(password);
        // As Postgres does it: a password without a normal form is taken as it is.
        let password = prepared.as_deref().unwrap_or(password);
        let mut salted = [0; HASH];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, &salt, password.as_bytes(), &mut salted);
        let salted = hmac::Key::new(hmac::HMAC_SHA256, &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let server_key = hmac::sign(&salted, b"Server Key");
        Verifier { salt, stored_key: sha256(client_key.as_ref()), server_key: array(server_key.as_ref()) }
    }

    /// Answers the client's first message. Whatever user it names is left aside: the start-up packet has named one.
    ///
    /// # Errors
    /// [`NotProven`].
    pub fn begin(&self, client_first: &[u8], binding: Binding<'_>) -> Result<Exchange, NotProven> {
        self.begin_with(client_first, binding, &BASE64_STANDARD.encode(random::<18>()))
    }

    fn begin_with(
        &self,
        client_first: &[u8],
        binding: Binding<'_>,
        server_nonce: &str,
    ) -> Result<Exchange, NotProven> {
        let message = std::str::from_utf8(client_first).map_err(|_| NotProven)?;
        let (flag, rest) = message.split_once(',').ok_or(NotProven)?;
        // No identity to act as is possible.
        let bare = rest.strip_prefix(',').ok_or(NotProven)?;
        let mut bound = format!("{flag},,").into_bytes();
        match (flag, binding) {
            ("n", Binding::Impossible | Binding::Offered) => {}
            // It could, and believes that we can't.
            ("y", Binding::Impossible) => {}
            (_, Binding::Chosen(end_point)) if flag.strip_prefix("p=") == Some(BINDING) => {
                bound.extend_from_slice(end_point);
            }
            _ => return Err(NotProven),
        }
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|attribute| attribute.strip_prefix("n="));
        let nonce = attributes.next().and_then(|attribute| attribute.strip_prefix("r="));
        let (Some(_), Some(nonce)) = (user, nonce) else { return Err(NotProven) };
        if nonce.is_empty() || !nonce.bytes().all(|byte| (0x21..=0x7E).contains(&byte)) {
            return Err(NotProven);
        }
        let nonce = format!("{nonce}{server_nonce}");
        let salt = BASE64_STANDARD.encode(self.salt);
        Ok(Exchange {
            client_first_bare: bare.to_owned(),
            server_first: format!("r={nonce},s={salt},i={ITERATIONS}"),
            binding: BASE64_STANDARD.encode(bound),
            nonce,
        })
    }
}

impl Exchange {
    /// The server's first message.
    #[must_use]
    pub fn challenge(&self) -> &str {
        &self.server_first
    }

    /// Judges the client's last message. The answer is the server's last one, which proves that it knows the password too.
    ///
    /// # Errors
    /// [`NotProven`].
    pub fn finish(self, verifier: &Verifier, client_final: &[u8]) -> Result<String, NotProven> {
        let message = std::str::from_utf8(client_final).map_err(|_| NotProven)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(NotProven)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|attribute| attribute.strip_prefix("c="));
        let nonce = attributes.next().and_then(|attribute| attribute.strip_prefix("r="));
        if binding != Some(&self.binding) || nonce != Some(&self.nonce) {
            return Err(NotProven);
        }
        let proof: [u8; HASH] =
            BASE64_STANDARD.decode(proof).ok().and_then(|proof| proof.try_into().ok()).ok_or(NotProven)?;
        let transcript = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let stored_key = hmac::Key::new(hmac::HMAC_SHA256, &verifier.stored_key);
        let signature = hmac::sign(&stored_key, transcript.as_bytes());
        let mut client_key = proof;
        for (byte, mask) in client_key.iter_mut().zip(signature.as_ref()) {
            *byte ^= mask;
        }
        constant_time::verify_slices_are_equal(&sha256(&client_key), &verifier.stored_key)
            .map_err(|_| NotProven)?;
        let server_key = hmac::Key::new(hmac::HMAC_SHA256, &verifier.server_key);
        let signature = hmac::sign(&server_key, transcript.as_bytes());
        Ok(format!("v={}", BASE64_STANDARD.encode(signature.as_ref())))
    }
}

fn sha256(bytes: &[u8]) -> [u8; HASH] {
    array(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// What is as long as a hash of SHA-256 anyway.
fn array(bytes: &[u8]) -> [u8; HASH] {
    let mut array = [0; HASH];
    array.copy_from_slice(bytes);
    array
}

/// Bytes that nobody can guess.
///
/// # Panics
/// If the system has no randomness to give, without which nothing here is safe.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system's source of randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
    use proptest::prelude::*;

    use super::*;

    /// The exchange of RFC 7677 §3, with its user, password, salt and nonces.
    #[test]
    fn speaks_as_the_standard_shows() {
        let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap().try_into().unwrap();
        let verifier = Verifier::with_salt("pencil", salt);
        let exchange = verifier
            .begin_with(
                b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                Binding::Impossible,
                "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            )
            .unwrap();
        assert_eq!(
            exchange.challenge(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                     p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let answer = exchange.finish(&verifier, last);
        assert_eq!(answer.as_deref(), Ok("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    }

    fn log_in(
        server: &str,
        client: &str,
        ours: Binding<'_>,
        theirs: ChannelBinding,
    ) -> Result<(), NotProven> {
        let verifier = Verifier::new(server);
        let mut scram = ScramSha256::new(client.as_bytes(), theirs);
        let exchange = verifier.begin(scram.message(), ours)?;
        scram.update(exchange.challenge().as_bytes()).unwrap();
        let last = exchange.finish(&verifier, scram.message())?;
        scram.finish(last.as_bytes()).expect("the server proves itself");
        Ok(())
    }

    #[test]
    fn binding_is_as_was_chosen_and_can_not_be_talked_away() {
        let end_point = || ChannelBinding::tls_server_end_point(b"hash".to_vec());
        let (unsupported, unrequested) = (ChannelBinding::unsupported, ChannelBinding::unrequested);
        for (ours, theirs, fine) in [
            (Binding::Impossible, unsupported(), true),
            (Binding::Impossible, unrequested(), true),
            (Binding::Offered, unsupported(), true),
            // The client can bind and believes that the server can't: somebody in between said so.
            (Binding::Offered, unrequested(), false),
            (Binding::Chosen(b"hash"), end_point(), true),
            (Binding::Chosen(b"another"), end_point(), false),
            (Binding::Impossible, end_point(), false),
            (Binding::Chosen(b"hash"), unsupported(), false),
        ] {
            assert_eq!(log_in("pw", "pw", ours, theirs).is_ok(), fine, "{ours:?}");
        }
    }

    #[test]
    fn passwords_are_compared_in_their_normal_form() {
        let plain = ChannelBinding::unsupported;
        // A soft hyphen is nothing, a no-break space is a space, a ligature is its letters.
        for (server, client) in [("I\u{AD}X", "IX"), ("a\u{A0}b", "a b"), ("ﬁ", "fi"), ("пароль", "пароль")]
        {
            assert_eq!(log_in(server, client, Binding::Impossible, plain()), Ok(()), "{server}");
        }
        // No normal form: taken as it is.
        assert_eq!(log_in("bell\u{7}", "bell\u{7}", Binding::Impossible, plain()), Ok(()));
        assert!(log_in("bell\u{7}", "bell", Binding::Impossible, plain()).is_err());
    }

    #[test]
    fn malformed_messages_prove_nothing() {
        let verifier = Verifier::new("pw");
        for first in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=",
            "n,,n=u",
            "n,,r=abc",
            "n,,n=u,r=",
            "n,,n=u,r=a b",
            "n,,n=u,r=é",
            "x,,n=u,r=abc",
            "p=tls-unique,,n=u,r=abc",
            "n,a=admin,n=u,r=abc",
            "n,,m=ext,n=u,r=abc",
            "N,,n=u,r=abc",
        ] {
            assert!(verifier.begin(first.as_bytes(), Binding::Impossible).is_err(), "{first:?}");
        }
        assert!(verifier.begin(b"n,,n=\xFF,r=abc", Binding::Impossible).is_err());
        let proof = BASE64_STANDARD.encode([0; 32]);
        for last in [
            "",
            "c=biws",
            "c=biws,r=abcXYZ",
            &format!("c=biws,r=abcXYZ,p={proof}"),
            "c=biws,r=abcXYZ,p=",
            "c=biws,r=abcXYZ,p=AA==",
            &format!("c=eSws,r=abcXYZ,p={proof}"),
            &format!("c=biws,r=abc,p={proof}"),
            &format!("r=abcXYZ,c=biws,p={proof}"),
        ] {
            let exchange = verifier.begin_with(b"n,,n=u,r=abc", Binding::Impossible, "XYZ").unwrap();
            assert!(exchange.finish(&verifier, last.as_bytes()).is_err(), "{last:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_right_password_and_no_other_is_accepted(password in "\\PC{1,20}", other in "\\PC{0,20}") {
            let plain = ChannelBinding::unsupported;
            prop_assert_eq!(log_in(&password, &password, Binding::Impossible, plain()), Ok(()));
            let form = |text: &str| stringprep::saslprep(text).map_or(text.to_owned(), Cow::into_owned);
            let same = form(&password) == form(&other);
            prop_assert_eq!(log_in(&password, &other, Binding::Impossible, plain()).is_ok(), same);
        }

        #[test]
        fn any_bytes_are_judged(first: Vec<u8>, last: Vec<u8>) {
            let verifier = Verifier::with_salt("pw", [0; 16]);
            let _ = verifier.begin(&first, Binding::Offered);
            let exchange = verifier.begin(b"n,,n=,r=abc", Binding::Offered).unwrap();
            prop_assert!(exchange.finish(&verifier, &last).is_err());
        }
    }
}
