//! What each user becomes, and the edits for that.

use super::arguments::{After, Wanted, is_of_program};
use super::before::Before;
use super::report::{Converted, Report, Why};
use super::users::{self, AzureCredentials, AzureUser, Chosen};
use super::{Change, Conversion, INSTALL_HINT};
use crate::entra::check_client_id;
use crate::entra::cloud::Cloud;
use crate::env;
use crate::error::{Error, one_line};
use crate::flag::{Flag, FlagValues, Takes};
use crate::kubeconfig::edit::{Edit, NewExec};
use crate::kubeconfig::{Kubeconfig, V1BETA1, exec_api_version, splice};
use crate::options::check_server_id;

impl Conversion<'_> {
    /// The users of each file before the conversion.
    pub fn read_users(
        &mut self,
        kubeconfigs: &[Kubeconfig],
        chosen: &[Chosen],
    ) -> Vec<Vec<Result<Before, Error>>> {
        let files = kubeconfigs.iter().zip(chosen);
        files
            .map(|(kubeconfig, users)| {
                let users = users.azure.iter();
                users
                    .map(|azure| self.read_user(kubeconfig, azure))
                    .collect()
            })
            .collect()
    }

    fn read_user(
        &mut self,
        kubeconfig: &Kubeconfig,
        AzureUser {
            user,
            credentials,
            left_behind,
        }: &AzureUser,
    ) -> Result<Before, Error> {
        let at_user = |error: Error| error.context(format!("user {:?}", user.name));
        let exec = match credentials {
            AzureCredentials::AuthProvider(provider) => {
                let values = users::config_values(kubeconfig, provider).map_err(at_user)?;
                return Ok(Before::of_values(values));
            }
            AzureCredentials::Exec(exec) => exec,
        };
        let args = kubeconfig.args(exec).map_err(at_user)?;
        let before = Before::of_exec(&args, kubeconfig.note(exec), &mut self.old_args);
        let before = before.map_err(|error| {
            let (what, _) = error.parts();
            kubeconfig
                .error_at_user(user, format!("cannot read its args: {what}"))
                .remedy(
                    "Correct or remove that argument in the file, then convert again. A flag and its value are two items.",
                )
        })?;
        Ok(match left_behind {
            Some(provider) => {
                before.or(&users::config_values(kubeconfig, provider).map_err(at_user)?)
            }
            None => before,
        })
    }

    /// True if the users are in more than one tenant, and the login mode uses a single one by default.
    pub fn has_several_tenants(&self, users: &[Vec<Result<Before, Error>>]) -> bool {
        let Wanted { mode, typed, .. } = self.wanted;
        if !is_of_program(mode) || typed.is_given(Flag::TenantId) {
            return false;
        }
        let users = users.iter().flatten().flatten();
        let mut tenants = users.filter_map(Before::tenant);
        tenants
            .next()
            .is_some_and(|first| tenants.any(|tenant| !tenant.eq_ignore_ascii_case(first)))
    }

    /// Converts the users of one file. `before` has their state before the conversion.
    pub fn edit<'n, 't>(
        &self,
        file: usize,
        kubeconfig: &'n Kubeconfig<'t>,
        users: &Chosen<'n, 't>,
        before: Vec<Result<Before, Error>>,
        report: &mut Report,
    ) -> Result<Option<Change>, Error> {
        let mut edit = Edit::new(kubeconfig, &users.all);
        for (azure, before) in users.azure.iter().zip(before) {
            let name = azure.user.name;
            let converted = before.and_then(|before| {
                let (after, changed) = self.edit_user(kubeconfig, azure, &before, &mut edit)?;
                Ok((before.unknown, after, changed))
            });
            match converted {
                Ok((unknown, after, changed)) => {
                    for flag in &unknown {
                        report.left_out(name, flag);
                    }
                    self.warn(&after, azure, report);
                    match changed {
                        true => report.convert(Converted {
                            file,
                            user: name.to_owned(),
                            tenant: self.tenant_of(&after.values),
                        }),
                        false => report.keep(name, Why::IsConverted),
                    }
                }
                Err(error) => report.fail(error),
            }
        }
        let cuts = edit.finish()?;
        if cuts.is_empty() {
            return Ok(None);
        }
        let text = splice::apply(kubeconfig.tree().text(), &cuts);
        Ok(Some(Change { file, text }))
    }

    /// Converts one user, or changes nothing. Returns the new user, and whether it differs.
    fn edit_user<'n, 't>(
        &self,
        kubeconfig: &'n Kubeconfig<'t>,
        AzureUser {
            user,
            credentials,
            left_behind,
        }: &AzureUser<'n, 't>,
        before: &Before,
        edit: &mut Edit<'n, 't>,
    ) -> Result<(After, bool), Error> {
        let mut after = self.wanted.convert(before).map_err(|error| {
            let (what, remedy) = error.parts();
            kubeconfig.error_at_user(user, what).remedy(remedy)
        })?;
        let new = self.new_exec(&mut after, credentials);
        let changed = edit.all_or_none(user, |edit| {
            if let Some(provider) = left_behind {
                edit.remove(user, provider)?;
            }
            match credentials {
                AzureCredentials::AuthProvider(provider) => {
                    edit.replace(user, provider, &new).map(|()| true)
                }
                AzureCredentials::Exec(exec) => edit.update(user, exec, &new),
            }
        });
        let changed = changed.map_err(|error| error.context(format!("user {:?}", user.name)))?;
        after.note = new.note;
        Ok((after, changed || left_behind.is_some()))
    }

    /// A user's new exec plugin.
    fn new_exec(&self, after: &mut After, credentials: &AzureCredentials) -> NewExec {
        // The plugin's command stays, whatever its name or path.
        let (command, api_version) = match credentials {
            AzureCredentials::Exec(exec) => {
                (None, exec_api_version(exec.api_version.unwrap_or_default()))
            }
            AzureCredentials::AuthProvider(_) => (Some("kubelogin"), V1BETA1),
        };
        let folder = self.args.azure_config_dir.iter();
        NewExec {
            api_version,
            command,
            args: std::mem::take(&mut after.args),
            note: after.note.take(),
            env: folder
                .map(|folder| (env::AZURE_CONFIG_DIR, folder.clone()))
                .collect(),
            install_hint: INSTALL_HINT.into(),
        }
    }

    /// The tenant to name in a message, if there are several.
    fn tenant_of(&self, values: &FlagValues) -> Option<String> {
        let tenant = values.text(Flag::TenantId)?;
        self.wanted.has_several_tenants.then(|| tenant.to_owned())
    }

    /// Reports what people should know about a converted user.
    fn warn(&self, after: &After, azure: &AzureUser, report: &mut Report) {
        let (mode, values) = (self.wanted.mode, &after.values);
        for row in Flag::ALL.iter().filter(|row| values.is_given(row.flag)) {
            match row.takes {
                Takes::Secret(_) if self.wanted.typed.is_given(row.flag) => {
                    report.remark(format!(
                        "Warning: the value of {} is written to the kubeconfig, where anyone who can read the file can read it",
                        row.flag.typed()
                    ));
                }
                Takes::Value(_) if values.text(row.flag).is_some_and(is_for_a_shell) => {
                    report.warn(format!(
                        "Warning: user {:?}: {} contains a variable or ~, which is not expanded in a kubeconfig: write its value",
                        azure.user.name,
                        row.flag.typed()
                    ));
                }
                _ => {}
            }
        }
        let environment = values.text(Flag::Environment).map(Cloud::from_name);
        let server_id = values.text(Flag::ServerId).map(check_server_id);
        let client_id = values.text(Flag::ClientId).map(check_client_id);
        let refused = [
            server_id.and_then(Result::err),
            environment.and_then(Result::err),
            client_id.and_then(Result::err),
        ];
        for error in refused.iter().flatten() {
            let (what, remedy) = error.parts();
            report.warn(one_line(&format!(
                "Warning: get-token will fail: {what}. {remedy}"
            )));
        }
        if azure.is_flow() && after.note.is_some() {
            report.remark(format!(
                "Warning: JSON cannot hold comments, so flags that --login {mode} does not use are lost; \
                 pass them again when you convert back"
            ));
        }
    }
}

/// True for what a shell would expand but a Kubernetes client does not: a variable of sh, PowerShell or cmd.exe, or `~`.
fn is_for_a_shell(value: &str) -> bool {
    let begins_name = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_name = |text: &str| {
        begins_name(text) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let mut after_dollars = value.split('$').skip(1);
    let mut between_percents = value.split('%').skip(1).step_by(2);
    value.starts_with("~/")
        || after_dollars.any(|rest| begins_name(rest) || rest.starts_with(['{', '(']))
        || value.matches('%').count() >= 2 && between_percents.any(is_name)
}
