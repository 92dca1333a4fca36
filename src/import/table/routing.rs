//! Directives that choose what becomes of a request.

use super::{Contexts, MANY, Part, Rule, content, guard, missing, needless, row};
use crate::import::{onward, settings};

const IFS: Contexts = Contexts::SERVER_IF.and(Contexts::LOCATION_IF);
const SERVER_DOWN: Contexts = Contexts::SERVER.and(Contexts::LOCATION).and(IFS);

pub(super) const ROUTING: Part = Part {
    title: "Servers, locations, answers",
    rows: &[
        row("server", Contexts::HTTP.and(Contexts::UPSTREAM), (0, MANY), Rule::Shape,
            "A server's locations become routes. In an upstream: a backend, see below."),
        row("listen", Contexts::SERVER, (1, MANY), Rule::Shape,
            "`[[listener]]`, one per address, and per port of a range; its parameters are below."),
        row("server_name", Contexts::SERVER, (1, MANY), Rule::Shape,
            "`hosts` of the server's routes; those of a default server take every host. `.name` is the \
             name and all below it."),
        row("location", Contexts::SERVER.and(Contexts::LOCATION), (1, 2), Rule::Shape,
            "`=` is `path_exact`, `~` and `~*` are `path_regex`, a prefix is `path_prefix`, with `^~` also \
             `before_regex`. Nested locations are made flat: expressions among them become routes with \
             `path_regex` beside `path_prefix`. Look-arounds are carried as `(?!…)` behind a plain beginning or at \
             the end, and as `(?<!…)` before the end; where an expression cannot be read, whatever it may fit is \
             refused with 403. A prefix with a slash at its end from which requests are sent \
             on gets a redirect from its name without the slash."),
        row("return", SERVER_DOWN, (1, 2), Rule::Route(settings::answer),
            "`redirect` for 301, 302, 303, 307 and 308, otherwise `respond`. Where nginx makes a page of \
             its own for a status, the body is empty. 444 is `respond = \"close\"`.").own(),
        row("if", Contexts::SERVER.and(Contexts::LOCATION), (1, MANY), Rule::Shape,
            "A route with `when` that goes before the others, where the block returns, redirects, or changes \
             how requests are sent on. Of `-f` and its like, what is asked for is no file. Where a condition or \
             a block that turns requests away has no counterpart, all are answered with the error that it \
             returns, else with 403."),
        row("limit_except", Contexts::LOCATION, (1, MANY), Rule::Shape,
            "A route for all other methods, with what stands in the block, above all `access`."),
        row("rewrite", SERVER_DOWN, (2, 3), Rule::Route(settings::rewrite),
            "`rewrite` of the route; of a server's, a route with `first`. Where the whole path is sent \
             elsewhere it is a `redirect`, and `^/prefix/(.*)$ /other/$1 break` in the location of that \
             prefix is `strip_prefix` or `replace_prefix`. `$1` is a group of its own expression only, as \
             nginx has it.").own(),
        row("break", SERVER_DOWN, (0, 0), Rule::Needless,
            "What stands behind it is not reached. Within `if`, a rule of `rewrite` with `then = \"stop\"`; of a \
             server's, what stands behind has the opposite condition.").own(),
        row("set", SERVER_DOWN, (2, 2), Rule::Shape,
            "Constants are put in where the variable is used; what an `if` sets is a `[variable.NAME]`."),
        row("try_files", Contexts::SERVER.and(Contexts::LOCATION), (2, MANY), Rule::Route(settings::try_files),
            "No files are served: with what it ends, `go_to` or a status, takes every request.").differs(),
        row("map", Contexts::HTTP, (2, 2), Rule::Shape,
            "`[variable.NAME]`; where `proxy_pass` uses it, routes that choose the upstream by a header \
             field or a cookie. The usual `$connection_upgrade` is `upgrades`."),
        row("split_clients", Contexts::HTTP, (2, 2), Rule::Shape,
            "`[variable.NAME]` with `split`; where `proxy_pass` uses it, routes that ask for its value."),
        row("internal", Contexts::LOCATION, (0, 0), Rule::Route(settings::internal),
            "`internal` of the route.").own(),
        row("allow", Contexts::LEVELS.and(Contexts::LIMIT_EXCEPT), (1, 1), Rule::Route(settings::allow),
            "`access` of the route.").group("access"),
        row("deny", Contexts::LEVELS.and(Contexts::LIMIT_EXCEPT), (1, 1), Rule::Route(settings::deny),
            "`access` of the route; where everybody is kept out, a route that answers 403.").group("access"),
        row("auth_basic", Contexts::LEVELS.and(Contexts::LIMIT_EXCEPT), (1, 1), Rule::Route(settings::auth_basic),
            "`off` needs nothing in its place. There is no authentication yet: the route answers 403 to \
             everybody."),
        needless("auth_basic_user_file", Contexts::ANY, "See `auth_basic`."),
        row("auth_request", Contexts::LEVELS, (1, 1), Rule::Route(onward::auth_request),
            "`auth` of the route."),
        row("auth_request_set", Contexts::LEVELS, (2, 2), Rule::Route(onward::auth_request_set),
            "Where the variable is used, `${auth.NAME}` stands for `$upstream_http_NAME`."),
        guard("auth_jwt*", "There is no authentication yet: the route answers 403 to everybody.",
            "let the application check, then make the route's action `upstream`"),
        guard("auth_ldap", "There is no such authentication: the route answers 403 to everybody.",
            "let the application ask, then make the route's action `upstream`"),
        guard("auth_pam", "There is no such authentication: the route answers 403 to everybody.",
            "let the application ask, then make the route's action `upstream`"),
        guard("auth_digest", "There is no such authentication: the route answers 403 to everybody.",
            "let the application ask, then make the route's action `upstream`"),
        guard("auth_gss", "There is no such authentication: the route answers 403 to everybody.",
            "let the application ask, then make the route's action `upstream`"),
        guard("auth_*", "There is no such authentication: the route answers 403 to everybody. So it does for \
             other directives whose name speaks of access, and where a file that is included cannot be read.",
            "let the application ask, then make the route's action `upstream`"),
        guard("auth_radius", "There is no such authentication: the route answers 403 to everybody.",
            "let the application ask, then make the route's action `upstream`"),
        row("satisfy", Contexts::LEVELS, (1, 1), Rule::Route(settings::satisfy),
            "With `any`, whom `allow` lets in comes in; about others `auth_request` is asked \
             (`access_or_auth`), and where they would have to say who they are, they are kept out."),
        guard("secure_link*", "Links are not checked: the route answers 403 to everybody.",
            "let the application check, then make the route's action `upstream`"),
        row("valid_referers", Contexts::SERVER.and(Contexts::LOCATION), (1, MANY), Rule::Shape,
            "`[variable.invalid_referer]`, by the expressions that it stands for."),
        row("error_page", Contexts::LEVELS_AND_IF, (2, MANY), Rule::Route(onward::error_page),
            "`error_pages` of the route, with `status` for `=CODE` and `page_status` for `=`. A page that \
             is a file, below a `root` with a whole path, is carried where the import finds it."),
        row("recursive_error_pages", Contexts::LEVELS, (1, 1), Rule::Route(onward::recursive),
            "`nginx.recursive_error_pages` of the route."),
        row("geo", Contexts::HTTP, (1, 2), Rule::Shape,
            "`[variable.NAME]` with cases of `network`; ranges are cut into networks. With `proxy`, or with \
             ranges one within the other, it is not carried."),
        row("mirror", Contexts::LEVELS, (1, 1), Rule::Route(onward::mirror),
            "`mirror` of the route. A copy with a body is sent when all of it has come, and not at all \
             when it is longer than `replay_body`."),
        row("mirror_request_body", Contexts::LEVELS, (1, 1), Rule::Route(onward::mirror_body),
            "`mirror_body` of the route."),
        missing("post_action", "There are no subrequests.", ""),
        content("root", "Plimsoll serves no files: the route answers 501.",
            "serve files by a file server of their own, as an upstream"),
        content("alias", "Plimsoll serves no files: the route answers 501.",
            "serve files by a file server of their own, as an upstream"),
        needless("index", Contexts::ANY, "No files are served."),
        content("autoindex*", "Plimsoll serves no files: the route answers 501.", ""),
        content("empty_gif", "Plimsoll has no picture: the route answers 501.", "use `respond` with a body from a file"),
        content("stub_status", "The route answers 501.", "use `/metrics` of `[admin]`"),
        content("fastcgi_pass", "Plimsoll does not speak `FastCGI`: the route answers 501.",
            "put an HTTP server before the application, and make it an upstream"),
        content("uwsgi_pass", "Plimsoll does not speak uwsgi: the route answers 501.",
            "let uWSGI listen with `http-socket`, and make it an upstream"),
        content("scgi_pass", "Plimsoll does not speak SCGI: the route answers 501.",
            "put an HTTP server before the application, and make it an upstream"),
        content("memcached_pass", "Plimsoll does not speak memcached: the route answers 501.", ""),
        content("js_content", "There are no scripts: the route answers 501.", ""),
        content("content_by_lua*", "There are no scripts: the route answers 501.", ""),
        content("perl", "There are no scripts: the route answers 501.", ""),
        content("echo", "The route answers 501.", "use `respond`"),
        content("dav_methods", "Plimsoll serves no files: the route answers 501.", ""),
        row("default_type", Contexts::LEVELS, (1, 1), Rule::Route(settings::default_type),
            "`respond.content_type` of answers with a text."),
        needless("types", Contexts::ANY, "No files are served."),
        needless("server_name_in_redirect", Contexts::ANY, "Redirects are written out with the request's host."),
        needless("port_in_redirect", Contexts::ANY, "Redirects are written out with the listener's port."),
        row("absolute_redirect", Contexts::LEVELS, (1, 1), Rule::Route(settings::absolute_redirect),
            "Redirects to a path are written out with scheme, host and port; with `off` they are not."),
    ],
};
