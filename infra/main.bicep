// The complete system in one resource group: the documents, and one or two regions that read the stream and write them
// (modules/region.bicep).
//
//   az deployment group create --resource-group RG --template-file infra/main.bicep --parameters environmentName=staging
//
// Requires Bicep 0.37.4: older versions build outputs of undeployed modules into expressions that Azure cannot evaluate.
// Nothing has a key, except IoT Hub's built-in endpoint, which supports nothing else: see modules/iot-hub.bicep.
targetScope = 'resourceGroup'

@description('The name of this deployment, such as staging: a tag of each resource and part of their unique names.')
@minLength(1)
@maxLength(32)
param environmentName string

@description('The region of the resources. It must have Flex Consumption: az functionapp list-flexconsumption-locations lists the regions.')
@metadata({ azd: { type: 'location' } })
param location string = resourceGroup().location

@description('A second region, such as northeurope; empty for none. It gets an Event Hubs namespace, to which the producers\' alias can be failed over, a function app with its resources, and a replica of the documents, to which Cosmos DB fails over automatically. With eventSource iotHub, and with privateNetwork, it is only the replica of the documents. It cannot be removed later: docs/operate/failover.md lists what a deployment can no longer change.')
param standbyLocation string = ''

@description('Whether Event Hubs, the documents and the storage of the host are spread over the availability zones. Each region must have zones. It cannot be changed later: Cosmos DB and storage do not support it. For Event Hubs, false is as the service does it: it spreads namespaces by itself.')
param zoneRedundant bool = true

@description('Whether the documents are spread over the availability zones: by default like the rest. Set it to false if a busy region has no capacity for Cosmos DB accounts with zones. It cannot be changed later.')
param zoneRedundantDocuments bool = zoneRedundant

@description('Whether the resources are reached only through a virtual network, by private endpoints. Event Hubs, IoT Hub, storage and documents are then closed to the internet; producers and operators must connect through the network. Connect other networks to it by peering: a deployment deletes subnets that it does not know. With sessions it cannot be changed later, because Service Bus keeps its tier. With a second region it should not be: the stream of that region would remain, and open.')
param privateNetwork bool = false

@description('Object ids, in Microsoft Entra, of the users, groups and pipelines that may read the documents, repair dead letters (a replay writes the document) and query the logs. Empty: the account that deploys. A deployment only adds roles: those of persons who are no longer named remain.')
param operatorPrincipalIds array = []

@description('Object ids, in Microsoft Entra, of the identities that may send events to the hub. Empty: the account that deploys. With IoT Hub, devices have identities of their own.')
param senderPrincipalIds array = []

// Stream.

@description('The source of the events: Event Hubs, or the built-in endpoint of an IoT Hub.')
@allowed(['eventHubs', 'iotHub'])
param eventSource string = 'eventHubs'

@description('The number of partitions of the hub, at most 32. It limits the batches that are processed at the same time, and so the useful instances. It cannot be changed later: Standard does not support that, and another number would send a device to another partition.')
@minValue(2)
@maxValue(32)
param partitionCount int = 32

@description('The retention of the hub in hours; at most 168 with Standard. An outage of the documents may last this long before events are lost. IoT Hub supports only whole days, at most 7.')
@minValue(24)
@maxValue(168)
param retentionHours int = 168

@description('Throughput units that a deployment sets, for the normal load. A unit is 1 MB or 1000 events per second. Event Hubs increases them automatically, but only the next deployment decreases them.')
@minValue(1)
@maxValue(40)
param throughputUnits int = 1

@description('The maximum throughput units of auto-inflate. If it is not greater than throughputUnits, there is no auto-inflate.')
@minValue(1)
@maxValue(40)
param maximumThroughputUnits int = 10

@description('With eventSource iotHub: the edition of the IoT Hub; one unit supports 400,000 (S1), 6 million (S2) or 300 million (S3) messages of up to 4 KB per day.')
@allowed(['S1', 'S2', 'S3'])
param iotHubSku string = 'S1'

@description('With eventSource iotHub: the number of units; with S3 at most 10.')
@minValue(1)
@maxValue(200)
param iotHubUnits int = 1

@description('Whether there is also a Service Bus queue with a session per device, and the function that reads it. With privateNetwork it needs the tier Premium, about 677 US dollars per month. docs/operate/sessions.md describes when it is useful. Changing it back disables the function, but does not remove the queue, which remains billed.')
param sessions bool = false

@description('With sessions: whether the function app is Azure Service Bus Data Owner of the queue, besides Receiver. Only then the platform knows the length of the queue; otherwise it adds instances one at a time, if at all. The role may also change and delete the queue. Changing it to false does not remove the role.')
param sessionQueueOwner bool = true

// Documents.

@description('The maximum request units per second of the container, a multiple of 1000. It scales automatically from a tenth of that; docs/operate/capacity.md has the calculation.')
@minValue(1000)
param cosmosMaximumThroughput int = 1000

@description('Paths of the documents to index, such as /Battery/?, for filters of the read API; without an index a query reads every document. Each path makes a write that changes it more expensive. The silence watch and the filters by when a device was heard need the default.')
param cosmosIndexedPaths array = ['/Heard/?', '/SilentSince/?']

// Dead letters.

@description('The replication of the storage account of the dead letters. RA-GRS needs a paired region, RA-GZRS also availability zones. With ZRS or LRS the dead letters are lost if the region is lost.')
@allowed(['Standard_RAGRS', 'Standard_RAGZRS', 'Standard_ZRS', 'Standard_LRS'])
param deadLetterRedundancy string = 'Standard_RAGRS'

// Function app.

@description('Memory of an instance, in MB. An earlier API version rejected 512; no deployment has verified it with this one.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Whether the instances are spread over the availability zones. The platform then keeps two of them always ready, and billed, for each function that it scales by itself; all HTTP functions are one. Only some regions support it: az functionapp list-flexconsumption-locations --zone-redundant=true. Without zoneRedundant it can be turned on only in the first deployment: the storage of the host cannot be changed later.')
param zoneRedundantInstances bool = false

@description('The maximum number of instances on demand, for each function that the platform scales by itself: with sessions up to twice as many in all. More instances than the hub has partitions stay idle.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('The number of always-ready instances, which process the first event after an idle time without a cold start; with sessions, as many again for the session queue. Each is billed all the time. With zoneRedundantInstances 0, or at least 2.')
@minValue(0)
@maxValue(32)
param alwaysReadyInstances int = 0

// Settings of the handler: each is the app setting of that name, described in the README.

@description('How events are decoded: json is any JSON, or what the telemetry file of the package describes; drone is the format of drones, and the package must have no telemetry file.')
@allowed(['json', 'drone'])
param telemetry string = 'json'

@description('The telemetry file, relative to host.json. Empty: telemetry.json, if the package has one.')
param telemetryFile string = ''

@description('The encoding of drone events without a content type.')
@allowed(['auto', 'json', 'protobuf'])
param telemetryFormat string = 'auto'

@description('The time that orders the messages of an IoT Hub.')
@allowed(['enqueued', 'created'])
param iotHubTime string = 'enqueued'

@description('The time limit for processing a batch, as hh:mm:ss. It must be less than the functionTimeout of host.json.')
param invocationBudget string = '00:01:00'

@description('How many devices of a batch are written at the same time.')
@minValue(1)
@maxValue(1000)
param storeConcurrency int = 32

@description('The least time between two writes of a document that only record that its device was heard again, as hh:mm:ss.')
param heardEvery string = '00:05:00'

@description('How long a device must not have been heard to be recorded as silent, as hh:mm:ss, at least twice heardEvery. Empty: the function that watches for silent devices is disabled.')
param silentAfter string = ''

@description('The maximum number of readings of a document.')
@minValue(1)
@maxValue(100000)
param maxReadings int = 1000

@description('Size of the cache of recently written documents, in MB; 0 disables it.')
@minValue(0)
param documentCacheMegabytes int = 64

@description('The number of attempts in which a device may fail, while others do not, before its events are dead-lettered.')
@minValue(1)
param deadLetterAfterAttempts int = 5

@description('The log level of the handler. At least info, because the alerts need its records of starts and failed attempts.')
@allowed(['info', 'debug', 'trace'])
param logLevel string = 'info'

@description('For staging: the id of a device whose batches fail once on purpose, to test retries. Empty for none.')
param retryDrillDevice string = ''

// Monitoring.

@description('The retention of the logs, in days. The first 31 days are free.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('The maximum GB of logs per day; further logs of the day are dropped, and so are the metrics of the hub: the alerts of the logs see nothing until the next day. -1 for no limit.')
@minValue(-1)
param logDailyQuotaGB int = -1

@description('Mail addresses that are notified when an alert fires and when it is resolved. Without any, alerts are visible only in the portal.')
param alertEmails array = []

// Security.

@description('The roles of the host on its storage account: containers, only on the containers that it uses; account, on all blobs, also on the published packages. The latter is for a host that is refused something: docs/operate/first-deployment.md. Changing it back does not remove the role on the account.')
@allowed(['containers', 'account'])
param hostStorageRoles string = 'containers'

@description('With privateNetwork: whether the addresses of the function app, also the one to which packages are published, are closed to the internet. Publishing, the smoke test and the read API then need a connection through the network. Changing it back opens them, but does not remove the private endpoint, which remains billed.')
param privateFunctionApp bool = false

@description('Whether the logs also record who read, changed or deleted dead letters, deleted checkpoints or packages, changed the Cosmos DB account, and used the Key Vault. Billed like all logs. Changing it back does not end them: delete the diagnostic settings devicestate-audit.')
param auditLogs bool = false

@description('Whether locks keep the Cosmos DB account and the storage accounts of the dead letters from being deleted. It can be set only by someone who may create locks, such as an Owner. Changing it back does not remove them; azd down requires that they are removed first.')
param deleteLocks bool = false

var tags = {
  'azd-env-name': environmentName
  product: 'devicestate'
}
var hubName = 'telemetry'
var sessionQueueName = 'sessions'
var consumerGroup = 'devicestate'
var usesIotHub = eventSource == 'iotHub'
var isAppPrivate = privateFunctionApp && !privateNetwork
  ? fail('privateFunctionApp must be false without privateNetwork: the function app would be unreachable.')
  : privateFunctionApp
var nothing = ''

// An id that is named twice would be two role assignments of one name, and in capitals a second one of the same role: both are
// rejected.
var deployingPrincipal = deployer().objectId
var operators = empty(operatorPrincipalIds)
  ? [deployingPrincipal]
  : union(map(operatorPrincipalIds, id => toLower(id)), [])
var senders = empty(senderPrincipalIds) ? [deployingPrincipal] : union(map(senderPrincipalIds, id => toLower(id)), [])

// For fail(): what Azure would reject in the middle of a deployment, and in other words.
var notObjectIds = filter(concat(operatorPrincipalIds, senderPrincipalIds), id => length(id) != 36)
var invalidPaths = filter(
  cosmosIndexedPaths,
  path => !startsWith(path, '/') || !(endsWith(path, '/?') || endsWith(path, '/*'))
)
var isOneRegion = toLower(replace(standbyLocation, ' ', '')) == toLower(replace(location, ' ', ''))

// The private DNS zones of two networks have the same names, which must be unique in a resource group.
var hasTwoStreams = !empty(standbyLocation) && !usesIotHub && !privateNetwork

// The pairing of two namespaces is deployed only once: Azure rejects every later deployment of the second one, even without
// changes, and after a failover the alias belongs to that one. A tag of the resource group records the paired namespace.
var pairedTag = 'devicestate-paired'
var groupTags = resourceGroup().?tags ?? {}
var isPaired = contains(groupTags, pairedTag) ? groupTags[pairedTag] == secondNamespace : false
var alias = 'evhns-devicestate-${firstToken}-alias'
var firstNamespace = 'evhns-devicestate-${firstToken}'
var secondNamespace = 'evhns-devicestate-${secondToken}'

var firstToken = uniqueString(resourceGroup().id, environmentName)
var secondToken = uniqueString(resourceGroup().id, environmentName, standbyLocation)
var first = {
  token: firstToken
  location: location
  namespace: firstNamespace
  withHub: true
  keepsNamespace: false
  azdService: 'handler'
}
var second = {
  token: secondToken
  location: standbyLocation
  namespace: secondNamespace
  // The pairing creates it.
  withHub: false
  keepsNamespace: isPaired
  azdService: ''
}
var regions = hasTwoStreams ? [first, second] : [first]

resource identities 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = [
  for place in regions: {
    name: 'id-devicestate-${place.token}'
    location: place.location
    tags: tags
  }
]

// Only for the packages: see modules/host-storage.bicep.
resource packageIdentities 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = [
  for place in regions: {
    name: 'id-devicestate-package-${place.token}'
    location: place.location
    tags: tags
  }
]

module network 'modules/network.bicep' = if (privateNetwork) {
  name: 'network'
  params: {
    name: 'vnet-devicestate-${firstToken}'
    location: location
    tags: tags
    withIotHub: usesIotHub
    withFunctionApp: isAppPrivate
  }
}

module iotHub 'modules/iot-hub.bicep' = if (usesIotHub) {
  name: 'iot-hub'
  params: {
    token: firstToken
    location: location
    tags: tags
    consumerGroup: consumerGroup
    partitionCount: partitionCount
    retentionDays: retentionHours / 24
    sku: iotHubSku
    units: iotHubSku == 'S3' && iotHubUnits > 10
      ? fail('iotHubUnits must be at most 10 with iotHubSku S3.')
      : iotHubUnits
    handlerPrincipalId: identities[0].properties.principalId
    operatorPrincipalIds: operators
    endpointSubnetId: network.?outputs.endpointSubnetId ?? nothing
    iotHubZoneIds: network.?outputs.iotHubZoneIds ?? []
    vaultZoneId: network.?outputs.vaultZoneId ?? nothing
  }
}

module documents 'modules/documents.bicep' = {
  name: 'documents'
  params: {
    name: 'cosmos-devicestate-${firstToken}'
    location: location
    tags: tags
    maximumThroughput: cosmosMaximumThroughput % 1000 == 0
      ? cosmosMaximumThroughput
      : fail('cosmosMaximumThroughput must be a multiple of 1000.')
    standbyLocation: isOneRegion ? fail('standbyLocation must be another region than location.') : standbyLocation
    indexedPaths: empty(invalidPaths)
      ? cosmosIndexedPaths
      : fail('Each of cosmosIndexedPaths must begin with / and end with /? or /*, such as /Battery/?.')
    zoneRedundant: zoneRedundantDocuments
    handlerPrincipalIds: [for index in range(0, length(regions)): identities[index].properties.principalId]
    operatorPrincipalIds: empty(notObjectIds)
      ? operators
      : fail('operatorPrincipalIds and senderPrincipalIds must be object ids. For yourself: az ad signed-in-user show.')
    endpointSubnetId: network.?outputs.endpointSubnetId ?? nothing
    dnsZoneId: network.?outputs.cosmosZoneId ?? nothing
    deleteLock: deleteLocks
  }
}

// The source of the events, as far as it does not belong to a region.
var eventHubSettings = usesIotHub
  ? {
      EventHubConnection: '@Microsoft.KeyVault(SecretUri=${iotHub.?outputs.connectionSecretUri ?? ''})'
      EventHubName: iotHub.?outputs.hubName ?? ''
    }
  : { EventHubName: hubName }

var drillSettings = empty(retryDrillDevice) ? {} : { RetryDrillDevice: retryDrillDevice }

module region 'modules/region.bicep' = [
  for (place, index) in regions: {
    name: 'region-${place.token}'
    params: {
      token: place.token
      location: place.location
      tags: tags
      azdService: place.azdService
      identityId: identities[index].id
      principalId: identities[index].properties.principalId
      clientId: identities[index].properties.clientId
      operatorPrincipalIds: operators
      senderPrincipalIds: senders
      zoneRedundant: zoneRedundant
      withEventHubs: !usesIotHub
      namespace: place.namespace
      withHub: place.withHub
      keepsNamespace: place.keepsNamespace
      hubName: hubName
      consumerGroup: consumerGroup
      partitionCount: partitionCount
      // IoT Hub supports only full days.
      retentionHours: usesIotHub ? retentionHours / 24 * 24 : retentionHours
      throughputUnits: throughputUnits
      maximumThroughputUnits: maximumThroughputUnits
      withSessions: sessions
      ownsSessionQueue: sessionQueueOwner
      sessionQueueName: sessionQueueName
      deadLetterRedundancy: deadLetterRedundancy
      instanceMemoryMB: instanceMemoryMB
      maximumInstanceCount: maximumInstanceCount
      alwaysReadyInstances: zoneRedundantInstances && alwaysReadyInstances == 1
        ? fail('alwaysReadyInstances must be 0, or at least 2, with zoneRedundantInstances.')
        : alwaysReadyInstances
      zoneRedundantInstances: zoneRedundantInstances
      logRetentionDays: logRetentionDays
      logDailyQuotaGB: logDailyQuotaGB
      alertEmails: alertEmails
      iotHubName: iotHub.?outputs.name ?? nothing
      // Only one region monitors what both share, to avoid duplicate mails.
      accountId: index == 0 ? documents.outputs.accountId : ''
      functionSubnetId: network.?outputs.functionSubnetId ?? nothing
      endpointSubnetId: network.?outputs.endpointSubnetId ?? nothing
      blobZoneId: network.?outputs.blobZoneId ?? nothing
      queueZoneId: network.?outputs.queueZoneId ?? nothing
      tableZoneId: network.?outputs.tableZoneId ?? nothing
      serviceBusZoneId: network.?outputs.serviceBusZoneId ?? nothing
      settings: union(eventHubSettings, drillSettings, {
        EventHubConsumerGroup: consumerGroup
        StateStore: 'cosmos'
        CosmosConnection__accountEndpoint: documents.outputs.endpoint
        CosmosDatabase: documents.outputs.databaseName
        CosmosContainer: documents.outputs.containerName
        CosmosIndexedPaths: join(cosmosIndexedPaths, ',')
        // The write region first, in both regions: a document is read before it is written.
        CosmosPreferredRegions: empty(standbyLocation) ? location : '${location},${standbyLocation}'
        DocumentCacheMegabytes: string(documentCacheMegabytes)
        StoreConcurrency: string(storeConcurrency)
        HeardEvery: heardEvery
        SilentAfter: silentAfter
        // Without silentAfter it would be called each minute, to do nothing. Both regions share the documents, and two watches would
        // divide the records of a device between two workspaces: one would alert of a device that the other knows to be back.
        'AzureWebJobs.SilenceWatchFunction.Disabled': empty(silentAfter) || index > 0 ? 'true' : 'false'
        MaxReadings: string(maxReadings)
        Telemetry: telemetry
        TelemetryFile: telemetryFile
        TelemetryFormat: telemetryFormat
        IoTHubTime: iotHubTime
        DeviceIdFromIoTHub: usesIotHub ? 'required' : ''
        InvocationBudget: invocationBudget
        DeadLetterAfterAttempts: string(deadLetterAfterAttempts)
        LogLevel: logLevel
      })
      packageIdentityId: packageIdentities[index].id
      packagePrincipalId: packageIdentities[index].properties.principalId
      hostStorageRoles: hostStorageRoles
      privateFunctionApp: isAppPrivate
      sitesZoneId: network.?outputs.sitesZoneId ?? nothing
      auditLogs: auditLogs
      deleteLocks: deleteLocks
      vaultName: iotHub.?outputs.vaultName ?? nothing
    }
  }
]

module pairing 'modules/pairing.bicep' = if (hasTwoStreams && !isPaired) {
  name: 'pairing'
  params: {
    alias: alias
    firstNamespace: firstNamespace
    secondNamespace: secondNamespace
    pairedTag: pairedTag
  }
  dependsOn: [region]
}

// Names for azd's environment and for scripts/. Nothing here reads location, tenant and Application Insights: other tools
// expect them in azd's environment.
output AZURE_RESOURCE_GROUP string = resourceGroup().name
output AZURE_LOCATION string = location
output AZURE_TENANT_ID string = tenant().tenantId
output APPLICATIONINSIGHTS_NAME string = region[0].outputs.applicationInsightsName
output AZURE_FUNCTION_APP_NAME string = region[0].outputs.functionAppName
output AZURE_FUNCTION_APP_HOST_NAME string = region[0].outputs.functionAppHostName
output EVENT_HUBS_NAMESPACE string = usesIotHub
  ? (iotHub.?outputs.namespace ?? '')
  : region[0].outputs.eventHubsNamespace
output EVENT_HUB_NAME string = usesIotHub ? (iotHub.?outputs.hubName ?? '') : hubName
output EVENT_HUB_CONSUMER_GROUP string = consumerGroup
output COSMOS_ENDPOINT string = documents.outputs.endpoint
output COSMOS_DATABASE string = documents.outputs.databaseName
output COSMOS_CONTAINER string = documents.outputs.containerName
output DEAD_LETTER_STORAGE_QUEUE_URI string = region[0].outputs.deadLetterQueueUri
output DEAD_LETTER_STORAGE_BLOB_URI string = region[0].outputs.deadLetterBlobUri
output HOST_STORAGE_NAME string = region[0].outputs.hostStorageName
output LOG_ANALYTICS_WORKSPACE_ID string = region[0].outputs.workspaceId

// The address for producers: with two regions the alias, never a namespace.
output EVENT_HUBS_FOR_PRODUCERS string = hasTwoStreams
  ? '${alias}.servicebus.windows.net'
  : region[0].outputs.eventHubsNamespace
output EVENT_HUBS_ALIAS string = hasTwoStreams ? alias : ''

// The address for senders of sessions; empty without sessions.
output SERVICE_BUS_NAMESPACE string = region[0].outputs.serviceBusNamespace
output SESSION_QUEUE_NAME string = sessions ? sessionQueueName : ''

// The second region's outputs; empty without a second region.
output STANDBY_FUNCTION_APP_NAME string = hasTwoStreams ? region[1].outputs.functionAppName : ''
output STANDBY_FUNCTION_APP_HOST_NAME string = hasTwoStreams ? region[1].outputs.functionAppHostName : ''
output STANDBY_EVENT_HUBS_NAMESPACE string = hasTwoStreams ? region[1].outputs.eventHubsNamespace : ''
output STANDBY_SERVICE_BUS_NAMESPACE string = hasTwoStreams ? region[1].outputs.serviceBusNamespace : ''
output STANDBY_DEAD_LETTER_STORAGE_QUEUE_URI string = hasTwoStreams ? region[1].outputs.deadLetterQueueUri : ''
output STANDBY_DEAD_LETTER_STORAGE_BLOB_URI string = hasTwoStreams ? region[1].outputs.deadLetterBlobUri : ''
output STANDBY_HOST_STORAGE_NAME string = hasTwoStreams ? region[1].outputs.hostStorageName : ''
output STANDBY_LOG_ANALYTICS_WORKSPACE_ID string = hasTwoStreams ? region[1].outputs.workspaceId : ''
