//! The commands for shells and readers: completions and the pages of the manual.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// In ~/.bashrc: source <(pleach completions bash)
    Bash,
    /// In ~/.zshrc, after compinit: source <(pleach completions zsh)
    Zsh,
    /// In ~/.config/fish/config.fish: pleach completions fish | source
    Fish,
}

impl Shell {
    /// As it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }
}

/// `pleach completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `pleach man`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write a page for each command to DIR instead, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
