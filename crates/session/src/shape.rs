//! Shape requests as they come over the wire, checked against the schema.

use change::{RequestId, UserId};
use protocol::{
    ShapeError,
    wire::{
        SatShapeDef, SatShapeReq,
        sat_shape_def::{Relation, Select},
    },
};
use schema::Schema;
use shapes::{RelationDef, SelectDef, Shape, ShapeDef, ShapeLimits};

/// The shapes of all requests, in order; or one error for each bad request (spec 06 §2.3 check 6).
pub(crate) fn check(
    requests: &[SatShapeReq],
    schema: &Schema,
    user: &UserId,
    limits: &ShapeLimits,
) -> Result<Vec<Shape>, Vec<ShapeError>> {
    let mut shapes = Vec::with_capacity(requests.len());
    let mut errors = Vec::new();
    for request in requests {
        let definition = request.shape_definition.as_ref().map(definition);
        match Shape::new(RequestId::new(&request.request_id), definition.as_ref(), schema, user, limits) {
            Ok(shape) => shapes.push(shape),
            Err(error) => errors.push(ShapeError {
                code: error.code as i32,
                message: error.message,
                request_id: request.request_id.clone(),
            }),
        }
    }
    if errors.is_empty() { Ok(shapes) } else { Err(errors) }
}

/// The shapes of requests that were granted once, as far as the schema can serve them now: without the tables that clients get nothing
/// of any more, and what was included by way of those. And whether that is all of it.
pub(crate) fn served(
    requests: &[SatShapeReq],
    schema: &Schema,
    user: &UserId,
    limits: &ShapeLimits,
) -> (Vec<Shape>, bool) {
    let mut shapes = Vec::with_capacity(requests.len());
    let mut is_whole = true;
    for request in requests {
        let definition = request.shape_definition.as_ref().map(|wire| {
            let mut definition = definition(wire);
            definition.selects.retain_mut(|select| keep_served(select, schema, &mut is_whole));
            definition
        });
        match Shape::new(RequestId::new(&request.request_id), definition.as_ref(), schema, user, limits) {
            Ok(shape) => shapes.push(shape),
            Err(_) => is_whole = false,
        }
    }
    (shapes, is_whole)
}

/// Takes out what is not served. Whether anything is left. As deep as the message, whose decoder has bounded that.
fn keep_served(select: &mut SelectDef, schema: &Schema, is_whole: &mut bool) -> bool {
    let is_served = schema.table_named(&select.table).is_some_and(|table| table.held_back.is_none());
    *is_whole &= is_served;
    select.include.retain_mut(|relation| {
        relation.select.as_mut().is_none_or(|select| keep_served(select, schema, is_whole))
    });
    is_served
}

fn definition(wire: &SatShapeDef) -> ShapeDef {
    ShapeDef { selects: wire.selects.iter().map(select).collect() }
}

/// As deep as the message, whose decoder has bounded that.
fn select(wire: &Select) -> SelectDef {
    SelectDef {
        table: wire.tablename.clone(),
        where_clause: wire.r#where.clone(),
        include: wire.include.iter().map(relation).collect(),
    }
}

fn relation(wire: &Relation) -> RelationDef {
    RelationDef { foreign_key: wire.foreign_key.clone(), select: wire.select.as_ref().map(select) }
}
