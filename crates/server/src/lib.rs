//! The service: HTTP, WebSocket, routing, supervision and configuration.
