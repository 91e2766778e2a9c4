use super::Type;
/// The type's name in SQL.
pub(super) fn type_name(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::Int2 => "int2",
        Type::Int4 => "int4",
        Type::Int8 => "int8",
        Type::Numeric => "numeric",
        Type::Float4 => "float4",
        Type::Float8 => "float8",
        Type::Text => "text",
        Type::Varchar => "varchar",
        Type::Date => "date",
        Type::Time => "time",
        Type::Timestamp => "timestamp",
        Type::Timestamptz => "timestamptz",
        Type::Interval => "interval",
        Type::Uuid => "uuid",
        Type::Bytea => "bytea",
        Type::Jsonb => "jsonb",
        Type::Enum(_) => "enum",
    }
}
