//! What is known of a backend: three separate facts, combined in one place only
//! (`balance::eligible`).

use crate::model::Tick;

/// What the operator wants of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AdminState {
    /// In rotation as far as its health allows.
    #[default]
    Enabled,
    /// Gets no new requests; those under way finish.
    Draining,
    /// Out of rotation.
    Disabled,
    /// In rotation, whatever probes and traffic say. Said by hand only, not in a file.
    ForcedUp,
    /// As if probes had found it down. Said by hand only, not in a file.
    ForcedDown,
}

impl AdminState {
    /// Every one, in the order of the words above.
    pub const ALL: [Self; 5] =
        [Self::Enabled, Self::Draining, Self::Disabled, Self::ForcedUp, Self::ForcedDown];

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether it counts among those that shall serve.
    pub fn in_rotation(self) -> bool {
        !matches!(self, Self::Draining | Self::Disabled)
    }
}

/// What active probes say of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ProbedState {
    /// No probe is configured; counts as able to serve.
    #[default]
    Unprobed,
    /// Probed, but no verdict yet. Serves only when nothing better is there, or has failed the request.
    Checking,
    /// The last verdict was good.
    Up,
    /// It serves, but not well: others go before it.
    Degraded,
    /// It is well, but not for these requests, as a database that is not the primary: gets none.
    Standby,
    /// It asks for no new clients.
    Draining,
    /// The last verdict was bad.
    Down,
}

/// What the outcomes of real requests say of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PassiveState {
    /// Fewer failures than the limit.
    #[default]
    Ok,
    /// Failed too often; gets nothing until the given moment.
    Parked {
        /// When the trial request is due.
        until: Tick,
    },
    /// The pause is over: one trial request decides.
    Trial,
}

/// The part of a backend's weight that is in effect, in percent: less than all while it warms up, or when
/// its agent asks for less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u8);

impl Share {
    /// The whole weight.
    pub const WHOLE: Self = Self(100);

    /// So many percent; 1 at least, 100 at most.
    pub fn percent(percent: u8) -> Self {
        Self(percent.clamp(1, 100))
    }

    /// As a number, from 1 to 100.
    pub fn value(self) -> u8 {
        self.0
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// The three facts together, and the share. Only the control loop writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BackendState {
    /// The operator's word.
    pub admin: AdminState,
    /// The probes' word.
    pub probed: ProbedState,
    /// The traffic's word.
    pub passive: PassiveState,
    /// How much of its weight is in effect.
    pub share: Share,
}

macro_rules! names {
    ($type:ident { $($pattern:pat => $name:literal),+ $(,)? }) => {
        impl $type {
            /// The word used in TOML, logs, metrics and the admin API.
            pub fn name(self) -> &'static str {
                match self { $($pattern => $name),+ }
            }
        }
    };
}

names!(AdminState {
    Self::Enabled => "enabled",
    Self::Draining => "draining",
    Self::Disabled => "disabled",
    Self::ForcedUp => "forced_up",
    Self::ForcedDown => "forced_down",
});
names!(ProbedState {
    Self::Unprobed => "unprobed",
    Self::Checking => "checking",
    Self::Up => "up",
    Self::Degraded => "degraded",
    Self::Standby => "standby",
    Self::Draining => "draining",
    Self::Down => "down",
});
names!(PassiveState {
    Self::Ok => "ok",
    Self::Parked { .. } => "parked",
    Self::Trial => "trial",
});
