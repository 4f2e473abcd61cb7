// The function app on Flex Consumption. functionAppConfig has the kind of app: this plan rejects the app setting
// FUNCTIONS_WORKER_RUNTIME, which only local.settings.json has.
@description('The unique part of the names.')
param token string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('The service of azure.yaml that azd publishes to it; empty for none.')
param azdService string

@description('Resource id of its identity.')
param identityId string

@description('The container that holds the published package.')
param packageContainerUri string

@description('Memory of an instance, in MB.')
param instanceMemoryMB int

@description('Maximum number of instances.')
param maximumInstanceCount int

@description('Always-ready instances.')
param alwaysReadyInstances int

@description('Whether it is also triggered by sessions.')
param withSessions bool

@description('Whether its instances are spread over the availability zones.')
param zoneRedundant bool

@description('Subnet of its instances; empty for none.')
param subnetId string

// Not @secure(), which would hide every setting from a preview. A secret must be a Key Vault reference: the tests reject others.
@description('The app settings.')
param appSettings object

@description('Resource id of the identity that publishes and downloads the package. No setting has it.')
param packageIdentityId string

@description('Subnet of its private endpoint; empty for a public address.')
param endpointSubnetId string

@description('DNS zone of its private endpoint.')
param sitesZoneId string

var isPrivate = !empty(endpointSubnetId)

// The plan scales each function separately, on its own instances.
var triggered = concat(['RawTelemetryFunction'], withSessions ? ['SessionTelemetryFunction'] : [])

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'asp-devicestate-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: 'func-devicestate-${token}'
  location: location
  // azd finds the app of a service of azure.yaml by this tag, and supports one app per service.
  tags: union(tags, empty(azdService) ? {} : { 'azd-service-name': azdService })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
      '${packageIdentityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    // Also for the address to which packages are published.
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    // Also for the platform's own traffic: the package and secrets.
    outboundVnetRouting: empty(subnetId) ? null : { allTraffic: true }
    siteConfig: { minTlsVersion: '1.2' }
    functionAppConfig: {
      runtime: {
        name: 'custom'
        version: '1.0'
      }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageContainerUri
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: packageIdentityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: [
          for name in (alwaysReadyInstances == 0 ? [] : triggered): {
            name: 'function:${name}'
            instanceCount: alwaysReadyInstances
          }
        ]
      }
    }
  }

  resource settings 'config' = {
    name: 'appsettings'
    properties: appSettings
  }

  // Publishing also uses Microsoft Entra, without passwords. Sources differ on these two, and no deployment has verified them
  // yet. If the first one rejects ftp, remove it, because this plan has no FTP. If it requires a location, add
  // `#disable-next-line BCP187` and `location: location` to both: no published type has it.
  resource noFtpPassword 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource noScmPassword 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }
}

module endpoint 'private-endpoint.bicep' = if (isPrivate) {
  name: 'function-app-endpoint'
  params: {
    name: 'pep-${app.name}'
    location: location
    tags: tags
    targetId: app.id
    service: 'sites'
    subnetId: endpointSubnetId
    dnsZoneIds: [sitesZoneId]
  }
  // Sequential: an app supports only one change at a time.
  dependsOn: [app::settings]
}

@description('Its name.')
output name string = app.name

@description('Its host name.')
output hostName string = app.properties.defaultHostName
