//! Texts with variables.

/// A text with variables, parsed once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template(pub Vec<Piece>);

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As written.
    Text(String),
    /// `${name}`.
    Variable(Variable),
}

/// The variables of templates and hash keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// `${client_ip}`: the client's address, after `trusted_proxies`.
    ClientIp,
    /// `${host}`: the request's host, lower case, without port.
    Host,
    /// `${method}`.
    Method,
    /// `${path}`: the path as the client sent it, without the query.
    Path,
    /// `${query}`: what follows the first `?`, without it.
    Query,
    /// `${uri}`: path and query as the client sent them.
    Uri,
    /// `${scheme}`: `http` or `https`.
    Scheme,
    /// `${request_id}`.
    RequestId,
    /// `${route}`: the route's name.
    Route,
    /// `${upstream}`: the upstream's name; empty where none is chosen.
    Upstream,
    /// `${backend}`: the backend's address as written; empty where none is chosen.
    Backend,
    /// `${header.NAME}`: the first request field of that name, lower case.
    Header(String),
    /// `${cookie.NAME}`: the cookie's value.
    Cookie(String),
    /// `${arg.NAME}`: the query argument's raw value.
    Arg(String),
}
