// The function app, on Flex Consumption. What kind of app it is stands in functionAppConfig: this plan refuses the app
// setting FUNCTIONS_WORKER_RUNTIME, which only local.settings.json has.
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

@description('Most instances.')
param maximumInstanceCount int

@description('Instances that are never given up.')
param alwaysReadyInstances int

@description('Whether it is triggered by sessions, too.')
param withSessions bool

@description('Whether its instances are spread over the availability zones.')
param zoneRedundant bool

@description('Subnet of its instances; empty for none.')
param subnetId string

@description('The app settings.')
@secure()
param appSettings object

// The plan scales each of them by itself, on instances of its own.
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
  // azd finds by this tag what a service in azure.yaml is published to, and takes one app for each.
  tags: union(tags, empty(azdService) ? {} : { 'azd-service-name': azdService })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    // What the platform itself fetches, too: the package, and secrets.
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
            userAssignedIdentityResourceId: identityId
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

  // Publishing goes by Microsoft Entra, too: no password of its own.
  resource noFtpPassword 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource noScmPassword 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }
}

@description('Its name.')
output name string = app.name

@description('Its host name.')
output hostName string = app.properties.defaultHostName
