//! The test vectors of spec 05 §8 that concern one row. Where the legacy service differs from the target, the target counts.

macro_rules! vectors {
    ($($name:ident: $script:literal)*) => {
        $(#[test]
        fn $name() {
            super::play($script);
        })*
    };
}

vectors! {
    vector_01_two_updates_of_a_column_the_later_wins: "
        A@1000: insert v0 0
        B@3000: update value=b clear B@3000 A@1000
        A@2000: update value=a clear A@2000 A@1000
        orders: 0 1 2 / 0 2 1
        row: b 0
        tags: A@2000 B@3000
        columns: B@3000 A@1000"
    vector_02_updates_of_different_columns_both_hold: "
        A@1000: insert v0 0
        B@3000: update value=b clear B@3000 A@1000
        A@2000: update other=5 clear A@2000 A@1000
        row: b 5
        tags: A@2000 B@3000
        columns: B@3000 A@2000"
    vector_03_a_tie_goes_to_the_greater_origin: "
        A@1000: insert v0 0
        A@2000: update value=a clear A@2000 A@1000
        B@2000: update value=b clear B@2000 A@1000
        orders: 0 1 2 / 0 2 1
        row: b 0
        tags: A@2000 B@2000
        columns: B@2000 A@1000"
    vector_04_an_older_update_beats_a_newer_delete: "
        A@1000: insert v0 0
        B@3000: delete clear B@3000 A@1000
        A@2000: update value=a clear A@2000 A@1000
        row: a 0
        tags: A@2000
        columns: A@2000 A@1000"
    vector_05_a_delete_that_has_not_seen_the_update_leaves_the_row: "
        A@1000: insert v0 0
        A@2000: update value=a clear A@2000 A@1000
        B@3000: delete clear B@3000 A@1000
        row: a 0
        tags: A@2000
        columns: A@2000 A@1000"
    vector_06_two_deletes: "
        A@1000: insert v0 0
        B@3000: delete clear B@3000 A@1000
        A@2000: delete clear A@2000 A@1000
        row: none
        tags:"
    vector_07_two_inserts_an_explicit_null_loses_too: "
        A@2000: insert a null
        B@3000: insert b 7
        orders: 0 1 / 1 0
        row: b 7
        tags: A@2000 B@3000
        columns: B@3000 B@3000"
    vector_08_two_updates_revive_a_deleted_row: "
        A@1000: insert v0 0
        B@5000: delete clear B@5000 A@1000
        A@2000: update value=a clear A@2000 A@1000
        C@3000: update other=9 clear C@3000 A@1000
        row: a 9
        tags: A@2000 C@3000"
    vector_09_an_offline_chain_that_ends_in_a_delete: "
        A@1000: insert v0 0
        B@2500: update value=b clear B@2500 A@1000
        A@2000: update value=a clear A@2000 A@1000
        A@3000: update value=a3 clear A@3000 A@2000
        A@4000: delete clear A@4000 A@3000
        row: a3 0
        tags: B@2500
        columns: A@3000 A@1000"
    vector_10_two_updates_in_one_transaction: "
        A@1000: insert v0 0
        A@2000: update value=a1 clear A@2000 A@1000; update value=a2 clear A@2000 A@1000
        row: a2 0
        tags: A@2000
        columns: A@2000 A@1000"
    vector_11_insert_and_update_in_one_transaction: "
        A@2000: insert a1 null; update other=999
        row: a1 999
        tags: A@2000
        columns: A@2000 A@2000"
    vector_12_update_delete_and_insert_in_one_transaction: "
        A@1000: insert v0 0
        A@2000: update value=a clear A@2000 A@1000; delete clear A@2000 A@1000; insert n null clear A@2000 A@1000
        row: n null
        tags: A@2000
        columns: A@2000 A@2000"
    vector_13_a_row_made_and_removed_in_one_transaction_stays_removed: "
        A@2000: insert a null; delete
        row: none
        tags:"
    vector_14_a_row_made_again: "
        A@1000: insert v0 0
        A@2000: delete clear A@2000 A@1000
        A@3000: insert n null
        row: n null
        tags: A@3000
        columns: A@3000 A@3000"
    vector_15_a_row_made_again_beside_an_update: "
        A@1000: insert v0 0
        A@2000: delete clear A@2000 A@1000
        A@3000: insert n null
        B@2500: update other=8 clear B@2500 A@1000
        orders: 0 1 2 3 / 0 1 3 2 / 0 3 1 2
        row: n null
        tags: A@3000 B@2500
        columns: A@3000 A@3000"
    vector_16_registers_outlive_the_row: "
        A@5000: insert five 5
        A@6000: delete clear A@6000 A@5000
        B@3000: insert slow null
        row: five 5
        tags: B@3000
        columns: A@5000 A@5000"
    vector_17_a_transaction_sent_twice: "
        A@1000: insert v0 0
        A@2000: update value=a clear A@2000 A@1000
        resend A@2000
        row: a 0
        tags: A@2000
        columns: A@2000 A@1000"
    vector_18_a_transaction_sent_again_after_another_deleted_its_row: "
        A@2000: insert v0 0
        B@3000: delete clear B@3000 A@2000
        resend A@2000
        row: none
        tags:"
    vector_20_an_offline_update_meets_a_native_one: "
        A@1000: insert v0 0
        PG: update value=pg
        B@2000: update value=b other=9 clear B@2000 A@1000
        row: pg 9
        tags: PG@1 B@2000
        columns: PG@1 B@2000"
    vector_21_a_native_update_tags_what_it_changes: "
        PG: insert v0 0
        PG: update value=pg other=0
        row: pg 0
        tags: PG@1
        columns: PG@1 PG@0"
    vector_22_a_client_whose_clock_is_ahead_wins: "
        A@1000: insert v0 0
        PG: update value=pg
        B@f: update value=b clear B@f A@1000
        row: b 0
        tags: PG@1 B@f
        columns: B@f A@1000"
    vector_23_a_native_update_wins_over_a_tag_from_the_future: "
        A@1000: insert v0 0
        PG: update value=pg
        B@f: update value=b clear B@f A@1000
        PG: update value=pg2
        row: pg2 0
        tags: PG@f
        columns: PG@f A@1000"
    vector_24_a_native_delete_keeps_the_future_tag: "
        A@1000: insert v0 0
        PG: update value=pg
        B@f: update value=b clear B@f A@1000
        PG: update value=pg2
        PG: delete
        row: none
        tags:
        last: PG@f"
    vector_25_a_native_insert_after_that: "
        A@1000: insert v0 0
        PG: update value=pg
        B@f: update value=b clear B@f A@1000
        PG: update value=pg2
        PG: delete
        PG: insert re null
        row: re null
        tags: PG@f
        columns: PG@f PG@f"
    vector_26_a_native_delete_of_a_row_from_the_future: "
        A@1000: insert v0 0
        B@f: update value=b clear B@f A@1000
        PG: delete
        row: none
        tags:
        last: PG@f"
    vector_27_an_update_revives_a_natively_deleted_row: "
        A@1000: insert v0 0
        PG: delete
        B@2000: update value=b clear B@2000 A@1000
        row: b 0
        tags: B@2000
        columns: B@2000 A@1000"
    vector_28_a_delete_that_has_not_seen_a_native_update: "
        A@1000: insert v0 0
        PG: update other=3
        B@2000: delete clear B@2000 A@1000
        row: v0 3
        tags: PG@1"
    vector_29_an_update_of_a_row_that_was_natively_made_again: "
        A@1000: insert v0 0
        PG: delete
        PG: insert re null
        A@2000: update value=a other=4 clear A@2000 A@1000
        row: re null
        tags: PG@2 A@2000
        columns: PG@2 PG@2"
    vector_30_a_delete_of_a_row_that_was_natively_made_again: "
        A@1000: insert v0 0
        PG: delete
        PG: insert re null
        A@2000: delete clear A@2000 A@1000
        row: re null
        tags: PG@2"
    vector_31_a_row_removed_and_made_again_in_one_native_transaction: "
        A@1000: insert v0 0
        PG: delete; insert again null
        row: again null
        tags: PG@1
        columns: PG@1 PG@1"
    vector_32_a_native_insert_and_a_clients: "
        PG: insert pg null
        B@2000: insert b 7
        row: pg null
        tags: PG@0 B@2000
        columns: PG@0 PG@0"
    vector_33_a_row_from_before_the_table_was_synced: "
        untracked old 1
        B@2000: update value=b clear B@2000 postgres_1@0
        row: b 1
        tags: B@2000
        columns: B@2000 postgres_1@0"
    vector_33_and_a_delete_of_it: "
        untracked old 1
        B@2000: update value=b clear B@2000 postgres_1@0
        A@3000: delete clear A@3000 B@2000
        row: none
        tags:"
    vector_34_a_native_transaction_adopts_the_future_of_each_row: "
        A@1000: insert v0 0
        B@f: update value=b clear B@f A@1000
        PG: update value=pg
        row: pg 0
        tags: PG@f
        columns: PG@f A@1000"
    vector_44_a_compensation_for_a_row_never_known: "
        B@2000: compensation
        row: null null
        tags: B@2000"
    a_compensation_revives_the_tombstone_and_writes_nothing: "
        A@1000: insert v0 0
        PG: delete
        B@2000: compensation clear B@2000 A@1000
        row: v0 0
        tags: B@2000
        columns: A@1000 A@1000"
    a_compensation_keeps_a_live_row_from_a_delete_that_has_not_seen_it: "
        A@1000: insert v0 0
        B@2000: compensation clear B@2000 A@1000
        A@3000: delete clear A@3000 A@1000
        row: v0 0
        tags: B@2000"
    a_column_that_a_client_does_not_know_is_left_alone: "
        A@1000: insert v0 0
        B@2000: insert b clear A@1000
        row: b 0
        tags: B@2000
        columns: B@2000 A@1000"
    registers_of_a_row_made_and_removed_at_once_are_remembered: "
        A@2000: insert a 1; delete
        B@1000: insert b 2
        orders: 0 1 / 1 0
        row: a 1
        tags: B@1000
        columns: A@2000 A@2000"
}
