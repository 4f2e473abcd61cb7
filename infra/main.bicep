// The whole system in one resource group: the stream, the function app, the documents, the dead letters, the watch.
//
//   az deployment group create --resource-group RG --template-file infra/main.bicep --parameters environmentName=staging
//
// Bicep 0.37.4 or newer: older ones build outputs of a module that is not deployed into what Azure cannot evaluate.
// Nothing here has a key, but for IoT Hub's built-in endpoint, which takes nothing else: see modules/iot-hub.bicep.
targetScope = 'resourceGroup'

@description('What this deployment is called, such as staging: a tag of each resource and part of their unique names.')
@minLength(1)
@maxLength(32)
param environmentName string

@description('The region.')
param location string = resourceGroup().location

@description('Whether Event Hubs, the documents and the storage of the host are spread over the availability zones. The region must have some, and cosmosStandbyLocation, too. For good: Cosmos DB and storage do not change it in place.')
param zoneRedundant bool = true

@description('Whether the resources are reached only through a virtual network, by private endpoints. Event Hubs, IoT Hub, storage and documents are then closed to the internet; producers and operators must come through the network.')
param privateNetwork bool = false

@description('Object ids, in Microsoft Entra, of the people, groups and pipelines that may read the documents, work on the dead letters (replaying one writes its document) and query the logs.')
param operatorPrincipalIds array = []

@description('Object ids of those that may send events into the hub. With IoT Hub, devices have identities of their own.')
param senderPrincipalIds array = []

// The stream.

@description('Where the events come from: Event Hubs, or the built-in endpoint of an IoT Hub.')
@allowed(['eventHubs', 'iotHub'])
param eventSource string = 'eventHubs'

@description('Partitions of the hub: the most batches at a time, and so the most instances with something to do. It cannot be changed later: Standard has no way to, and another number would send a device to another partition. An IoT Hub has at most 32, a Standard hub 32.')
@minValue(2)
@maxValue(32)
param partitionCount int = 32

@description('How long the hub keeps events, in hours; 168 is the most that Standard does. So long an outage of the documents may last before events are lost. IoT Hub takes whole days, 7 at most.')
@minValue(24)
@maxValue(168)
param retentionHours int = 168

@description('Throughput units that a deployment sets; what the normal load needs. A unit takes 1 MB or 1000 events a second. Event Hubs raises itself above it and never goes down by itself: only the next deployment does that.')
@minValue(1)
@maxValue(40)
param throughputUnits int = 1

@description('Throughput units to which Event Hubs may raise itself.')
@minValue(1)
@maxValue(40)
param maximumThroughputUnits int = 10

@description('With eventSource iotHub: the edition of the IoT Hub, one unit of which takes 400,000 (S1), 6 million (S2) or 300 million (S3) messages of up to 4 KB a day.')
@allowed(['S1', 'S2', 'S3'])
param iotHubSku string = 'S1'

@description('With eventSource iotHub: its units.')
@minValue(1)
@maxValue(200)
param iotHubUnits int = 1

// The documents.

@description('Most request units a second of the container, a multiple of 1000. It scales by itself from a tenth of that; docs/capacity.md has the arithmetic.')
@minValue(1000)
param cosmosMaximumThroughput int = 1000

@description('A second region for the documents, such as northeurope, to which Cosmos DB moves the writes by itself when the first one fails. Empty for none. It doubles their price.')
param cosmosStandbyLocation string = ''

@description('Paths of the documents to index, such as /Battery/?, for those who query by them. Each makes every write dearer, and the handler itself needs none.')
param cosmosIndexedPaths array = []

// The dead letters.

@description('How the storage account of the dead letters is copied. RA-GRS needs a region that has a paired one, RA-GZRS one with zones, too. Without either, ZRS or LRS, and the dead letters are lost with the region.')
@allowed(['Standard_RAGRS', 'Standard_RAGZRS', 'Standard_ZRS', 'Standard_LRS'])
param deadLetterRedundancy string = 'Standard_RAGRS'

// The function app.

@description('Memory of an instance, in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Whether the instances are spread over the availability zones. The platform then keeps two of them always ready, at their price. Only some regions have it: az functionapp list-flexconsumption-locations --zone-redundant=true.')
param zoneRedundantInstances bool = false

@description('Most instances. More than the hub has partitions never have anything to do.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Instances that are never given up, for the first event after a silence to be handled at once. Each costs something all the time. With zoneRedundantInstances none, or at least 2.')
@minValue(0)
@maxValue(32)
param alwaysReadyInstances int = 0

// What the handler does: each is the app setting of that name, described in the README.

@description('How telemetry is encoded where an event does not say so itself.')
@allowed(['auto', 'json', 'protobuf'])
param telemetryFormat string = 'auto'

@description('The time within which a batch is answered, as hh:mm:ss. It must fit the functionTimeout of host.json.')
param invocationBudget string = '00:01:00'

@description('How many devices of a batch are written at the same time.')
@minValue(1)
@maxValue(1000)
param storeConcurrency int = 32

@description('Memory for the documents written last, in MB; 0 for none.')
@minValue(0)
param documentCacheMegabytes int = 64

@description('In how many attempts a device may fail, while others do not, before its events are dead-lettered.')
@minValue(1)
param deadLetterAfterAttempts int = 5

@description('How much the handler logs.')
@allowed(['error', 'warn', 'info', 'debug', 'trace', 'off'])
param logLevel string = 'info'

@description('For staging: a device whose batches are failed once on purpose, to see that they come again. Empty for none.')
param retryDrillDevice string = ''

// The watch.

@description('How many days the logs are kept. The first 31 cost nothing more.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Most GB of logs a day; what is above is not kept until the next day. -1 for no limit.')
param logDailyQuotaGB int = -1

var token = uniqueString(resourceGroup().id, environmentName)
var tags = {
  'azd-env-name': environmentName
  product: 'devicestate'
}
var hubName = 'telemetry'
var consumerGroup = 'devicestate'
var usesIotHub = eventSource == 'iotHub'
var nothing = ''

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-devicestate-${token}'
  location: location
  tags: tags
}

module network 'modules/network.bicep' = if (privateNetwork) {
  name: 'network'
  params: {
    name: 'vnet-devicestate-${token}'
    location: location
    tags: tags
    withIotHub: usesIotHub
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    token: token
    location: location
    tags: tags
    retentionDays: logRetentionDays
    dailyQuotaGB: logDailyQuotaGB
    handlerPrincipalId: identity.properties.principalId
    operatorPrincipalIds: operatorPrincipalIds
  }
}

module eventHubs 'modules/event-hubs.bicep' = if (!usesIotHub) {
  name: 'event-hubs'
  params: {
    name: 'evhns-devicestate-${token}'
    location: location
    tags: tags
    hubName: hubName
    consumerGroup: consumerGroup
    partitionCount: partitionCount
    retentionHours: retentionHours
    throughputUnits: throughputUnits
    maximumThroughputUnits: maximumThroughputUnits
    zoneRedundant: zoneRedundant
    handlerPrincipalId: identity.properties.principalId
    senderPrincipalIds: senderPrincipalIds
    endpointSubnetId: network.?outputs.endpointSubnetId ?? nothing
    dnsZoneId: network.?outputs.serviceBusZoneId ?? nothing
  }
}

module iotHub 'modules/iot-hub.bicep' = if (usesIotHub) {
  name: 'iot-hub'
  params: {
    token: token
    location: location
    tags: tags
    consumerGroup: consumerGroup
    partitionCount: partitionCount
    retentionDays: retentionHours / 24
    sku: iotHubSku
    units: iotHubUnits
    handlerPrincipalId: identity.properties.principalId
    operatorPrincipalIds: operatorPrincipalIds
    endpointSubnetId: network.?outputs.endpointSubnetId ?? nothing
    iotHubZoneIds: network.?outputs.iotHubZoneIds ?? []
    vaultZoneId: network.?outputs.vaultZoneId ?? nothing
  }
}

module documents 'modules/documents.bicep' = {
  name: 'documents'
  params: {
    name: 'cosmos-devicestate-${token}'
    location: location
    tags: tags
    maximumThroughput: cosmosMaximumThroughput
    standbyLocation: cosmosStandbyLocation
    indexedPaths: cosmosIndexedPaths
    zoneRedundant: zoneRedundant
    handlerPrincipalId: identity.properties.principalId
    operatorPrincipalIds: operatorPrincipalIds
    endpointSubnetId: network.?outputs.endpointSubnetId ?? nothing
    dnsZoneId: network.?outputs.cosmosZoneId ?? nothing
  }
}

module deadLetters 'modules/dead-letters.bicep' = {
  name: 'dead-letters'
  params: {
    name: 'stdead${token}'
    location: location
    tags: tags
    redundancy: deadLetterRedundancy
    handlerPrincipalId: identity.properties.principalId
    operatorPrincipalIds: operatorPrincipalIds
    endpointSubnetId: network.?outputs.endpointSubnetId ?? nothing
    blobZoneId: network.?outputs.blobZoneId ?? nothing
    queueZoneId: network.?outputs.queueZoneId ?? nothing
  }
}

module hostStorage 'modules/host-storage.bicep' = {
  name: 'host-storage'
  params: {
    name: 'sthost${token}'
    location: location
    tags: tags
    zoneRedundant: zoneRedundant
    handlerPrincipalId: identity.properties.principalId
    endpointSubnetId: network.?outputs.endpointSubnetId ?? nothing
    blobZoneId: network.?outputs.blobZoneId ?? nothing
    tableZoneId: network.?outputs.tableZoneId ?? nothing
  }
}

// Where the events come from, as the binding in function.json reads it.
var eventHubSettings = usesIotHub
  ? {
      EventHubConnection: '@Microsoft.KeyVault(SecretUri=${iotHub.?outputs.connectionSecretUri ?? ''})'
      EventHubName: iotHub.?outputs.hubName ?? ''
    }
  : {
      EventHubConnection__fullyQualifiedNamespace: eventHubs.?outputs.fullyQualifiedNamespace ?? ''
      EventHubConnection__credential: 'managedidentity'
      EventHubConnection__clientId: identity.properties.clientId
      EventHubName: hubName
    }

var drillSettings = empty(retryDrillDevice) ? {} : { RetryDrillDevice: retryDrillDevice }

module functionApp 'modules/function-app.bicep' = {
  name: 'function-app'
  params: {
    token: token
    location: location
    tags: tags
    identityId: identity.id
    packageContainerUri: hostStorage.outputs.packageContainerUri
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyInstances: alwaysReadyInstances
    zoneRedundant: zoneRedundantInstances
    subnetId: network.?outputs.functionSubnetId ?? nothing
    appSettings: union(eventHubSettings, drillSettings, {
      AzureWebJobsStorage__blobServiceUri: hostStorage.outputs.blobServiceUri
      AzureWebJobsStorage__tableServiceUri: hostStorage.outputs.tableServiceUri
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identity.properties.clientId
      APPLICATIONINSIGHTS_CONNECTION_STRING: monitoring.outputs.connectionString
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
      EventHubConsumerGroup: consumerGroup
      DeadLetterStorage__queueServiceUri: deadLetters.outputs.queueServiceUri
      DeadLetterStorage__blobServiceUri: deadLetters.outputs.blobServiceUri
      DeadLetterStorage__credential: 'managedidentity'
      DeadLetterStorage__clientId: identity.properties.clientId
      DeadLetterContainer: deadLetters.outputs.containerName
      StateStore: 'cosmos'
      CosmosConnection__accountEndpoint: documents.outputs.endpoint
      CosmosConnection__credential: 'managedidentity'
      CosmosConnection__clientId: identity.properties.clientId
      CosmosDatabase: documents.outputs.databaseName
      CosmosContainer: documents.outputs.containerName
      // The write region first: a document is read to be written. REGION_NAME would say the same while nothing has failed.
      CosmosPreferredRegions: empty(cosmosStandbyLocation) ? location : '${location},${cosmosStandbyLocation}'
      DocumentCacheMegabytes: string(documentCacheMegabytes)
      StoreConcurrency: string(storeConcurrency)
      TelemetryFormat: telemetryFormat
      DeviceIdFromIoTHub: usesIotHub ? 'true' : 'false'
      InvocationBudget: invocationBudget
      DeadLetterAfterAttempts: string(deadLetterAfterAttempts)
      LogLevel: logLevel
    })
  }
}

// Names as azd keeps them in its environment, and as scripts/ reads them.
output AZURE_RESOURCE_GROUP string = resourceGroup().name
output AZURE_FUNCTION_APP_NAME string = functionApp.outputs.name
output AZURE_FUNCTION_APP_HOST_NAME string = functionApp.outputs.hostName
output EVENT_HUBS_NAMESPACE string = eventHubs.?outputs.fullyQualifiedNamespace ?? ''
output EVENT_HUB_NAME string = usesIotHub ? (iotHub.?outputs.hubName ?? '') : hubName
output COSMOS_ENDPOINT string = documents.outputs.endpoint
output COSMOS_DATABASE string = documents.outputs.databaseName
output COSMOS_CONTAINER string = documents.outputs.containerName
output DEAD_LETTER_STORAGE_QUEUE_URI string = deadLetters.outputs.queueServiceUri
output DEAD_LETTER_STORAGE_BLOB_URI string = deadLetters.outputs.blobServiceUri
output LOG_ANALYTICS_WORKSPACE_ID string = monitoring.outputs.workspaceId
