//! `devicestate local`, `drill` and `ui` in a build without them, such as the deployed one.

/// Defines a command that returns an error.
macro_rules! unavailable {
    ($command:ident) => {
        pub(super) mod $command {
            use clap::Args;
            use devicestate_terminal::CommandError;

            #[derive(Debug, Args)]
            #[command(disable_help_flag = true, override_usage = "not in this build: see docs/operate/package.md")]
            pub(in crate::cli) struct Options {
                /// The options of a build with the command.
                #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
                _options: Vec<String>,
            }

            impl Options {
                pub(in crate::cli) async fn run(self) -> Result<(), CommandError> {
                    let command = stringify!($command);
                    Err(CommandError::not_started(format!(
                        "the command `{command}` is not in this build, because the deployed build has only what runs in Azure: run `cargo run -- \
                         {command}` in the repository, or build with --features local"
                    )))
                }
            }
        }
    };
}

unavailable!(drill);
unavailable!(local);
unavailable!(ui);
