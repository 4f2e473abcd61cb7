//! The identity of a connection without a key.

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_identity::{
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use devicestate_engine::settings::{ConfigError, Settings};

/// An identity, from the settings `Name__credential`, `Name__clientId` and `Name__tenantId` of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// `managedidentity`: the function app's identity. The default if the environment has one.
    Managed {
        /// A user-assigned identity; `None` for the system-assigned one.
        client_id: Option<String>,
    },
    /// `workloadidentity`: the identity of a Kubernetes pod. The default if the environment has one.
    Workload {
        /// `None` for `AZURE_CLIENT_ID`.
        client_id: Option<String>,
        /// `None` for `AZURE_TENANT_ID`.
        tenant_id: Option<String>,
    },
    /// `developer`: the user logged in with `az login` or `azd auth login`. The default on any other machine.
    Developer,
}

impl Identity {
    /// Reads the settings of a connection.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Connection`] if the kind of credential is not supported.
    pub fn from_settings(settings: &Settings, connection: &str) -> Result<Self, ConfigError> {
        let named = |part: &str| settings.get(&format!("{connection}__{part}")).map(str::to_owned);
        if named("managedIdentityResourceId").is_some() {
            return Err(ConfigError::Connection {
                setting: format!("{connection}__managedIdentityResourceId"),
                problem: format!("is not supported: set `{connection}__clientId` instead"),
            });
        }
        let client_id = named("clientId");
        let kind = named("credential").map(|kind| kind.to_ascii_lowercase());
        let kind = kind.as_deref().unwrap_or_else(|| default_kind(settings));
        match kind {
            "managedidentity" => Ok(Self::Managed { client_id }),
            "workloadidentity" => Ok(Self::Workload { client_id, tenant_id: named("tenantId") }),
            "developer" => Ok(Self::Developer),
            // The value is not repeated: it may be a key in the wrong setting.
            _ => Err(ConfigError::Connection {
                setting: format!("{connection}__credential"),
                problem: "must be `managedidentity`, `workloadidentity` or `developer`".into(),
            }),
        }
    }

    /// Creates the credential that requests tokens. Sends no request yet.
    ///
    /// # Errors
    ///
    /// [`azure_core::Error`] if the environment lacks something that this kind of identity needs.
    pub fn credential(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        Ok(match self {
            Self::Managed { client_id } => {
                let user_assigned_id = client_id.clone().map(UserAssignedId::ClientId);
                let options = ManagedIdentityCredentialOptions { user_assigned_id, ..Default::default() };
                ManagedIdentityCredential::new(Some(options))?
            }
            Self::Workload { client_id, tenant_id } => {
                let (client_id, tenant_id) = (client_id.clone(), tenant_id.clone());
                let options = WorkloadIdentityCredentialOptions { client_id, tenant_id, ..Default::default() };
                WorkloadIdentityCredential::new(Some(options))?
            }
            Self::Developer => DeveloperToolsCredential::new(None)?,
        })
    }
}

/// Returns the default kind of credential in this environment.
fn default_kind(settings: &Settings) -> &'static str {
    if settings.get("IDENTITY_ENDPOINT").is_some() {
        "managedidentity"
    } else if settings.get("AZURE_FEDERATED_TOKEN_FILE").is_some() {
        "workloadidentity"
    } else {
        "developer"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(settings: &[(&str, &str)]) -> Result<Identity, ConfigError> {
        let mut given = Settings::default();
        for (name, value) in settings {
            given.set(*name, *value);
        }
        Identity::from_settings(&given, "Box")
    }

    #[test]
    fn the_setting_takes_precedence_over_the_environment() {
        let on_azure = ("IDENTITY_ENDPOINT", "http://127.0.0.1/token");
        let managed = |client_id: Option<&str>| Identity::Managed { client_id: client_id.map(str::to_owned) };
        assert_eq!(identity(&[("Box__credential", "managedidentity")]), Ok(managed(None)));
        let user_assigned = [("Box__credential", "ManagedIdentity"), ("Box__clientId", "11-22")];
        assert_eq!(identity(&user_assigned), Ok(managed(Some("11-22"))));
        let pod = [on_azure, ("Box__credential", "workloadidentity"), ("Box__tenantId", "33")];
        assert_eq!(identity(&pod), Ok(Identity::Workload { client_id: None, tenant_id: Some("33".into()) }));
        assert_eq!(identity(&[on_azure, ("Box__credential", "developer")]), Ok(Identity::Developer));
    }

    #[test]
    fn the_environment_selects_the_default_identity() {
        let (on_azure, in_a_pod) = (("IDENTITY_ENDPOINT", "x"), ("AZURE_FEDERATED_TOKEN_FILE", "x"));
        assert_eq!(identity(&[on_azure, in_a_pod]), Ok(Identity::Managed { client_id: None }));
        assert_eq!(identity(&[in_a_pod]), Ok(Identity::Workload { client_id: None, tenant_id: None }));
        assert_eq!(identity(&[]), Ok(Identity::Developer));
    }

    #[test]
    fn an_unsupported_setting_is_rejected_by_name() {
        for (setting, value) in [("Box__credential", "magic"), ("Box__managedIdentityResourceId", "/subscriptions/1")] {
            let error = identity(&[(setting, value)]).expect_err(setting).to_string();
            assert!(error.contains(setting) && !error.contains("magic"), "{error}");
        }
    }
}
