// One region: stream, function app, dead letters and monitoring. The documents are shared and in main.bicep, like the identity,
// which the documents need first.
@description('The unique part of the names.')
param token string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('The service of azure.yaml that azd publishes to the function app; empty for none. azd supports one app per service.')
param azdService string

@description('Resource id of the function app\'s identity.')
param identityId string

@description('Object id of that identity.')
param principalId string

@description('Client id of that identity.')
param clientId string

@description('Object ids of the operators, who repair dead letters, rewind checkpoints and query the logs.')
param operatorPrincipalIds array

@description('Object ids of the identities that may send events.')
param senderPrincipalIds array

@description('Whether Event Hubs and the storage of the host are spread over the availability zones.')
param zoneRedundant bool

// Stream.

@description('Whether the events arrive in Event Hubs; otherwise in an IoT Hub.')
param withEventHubs bool

@description('The name of the namespace.')
param namespace string

@description('Whether the hub is created here. In a pair, the second namespace gets its hub from the first.')
param withHub bool

@description('Whether the namespace is left unchanged: Azure rejects changes to the second namespace of a pair.')
param keepsNamespace bool

@description('The name of the hub.')
param hubName string

@description('The consumer group that belongs to the handler alone.')
param consumerGroup string

@description('Partitions of the hub.')
param partitionCount int

@description('Retention of the hub, in hours.')
param retentionHours int

@description('Throughput units.')
param throughputUnits int

@description('Maximum throughput units.')
param maximumThroughputUnits int

// Service Bus.

@description('Whether it also receives session messages.')
param withSessions bool

@description('The name of the queue with sessions.')
param sessionQueueName string

// Dead letters.

@description('The replication of the dead letters\' storage account.')
param deadLetterRedundancy string

// Function app.

@description('Memory of an instance, in MB.')
param instanceMemoryMB int

@description('Maximum number of instances.')
param maximumInstanceCount int

@description('Always-ready instances.')
param alwaysReadyInstances int

@description('Whether its instances are spread over the availability zones.')
param zoneRedundantInstances bool

@description('The app settings that are the same in every region.')
@secure()
param settings object

// Monitoring.

@description('Retention of the logs, in days.')
param logRetentionDays int

@description('Maximum GB of logs per day; -1 for no limit.')
param logDailyQuotaGB int

@description('Mail addresses to notify of alerts.')
param alertEmails array

@description('The IoT Hub that receives the events; empty without one.')
param iotHubName string

@description('Resource id of the Cosmos DB account, for the region that monitors it; empty for the other one.')
param accountId string

// Network.

@description('Subnet of the function app\'s instances; empty for none.')
param functionSubnetId string

@description('Subnet of the private endpoints; empty for public ones.')
param endpointSubnetId string

@description('DNS zone of blobs.')
param blobZoneId string

@description('DNS zone of queues.')
param queueZoneId string

@description('DNS zone of tables.')
param tableZoneId string

@description('DNS zone of Event Hubs and of Service Bus.')
param serviceBusZoneId string

// Security.

@description('Resource id of the identity that publishes and downloads the package.')
param packageIdentityId string

@description('Object id of that identity.')
param packagePrincipalId string

@description('The roles of the function app\'s identity on the storage of the host.')
param hostStorageRoles string

@description('Whether the function app has a private endpoint instead of a public address.')
param privateFunctionApp bool

@description('DNS zone of function apps.')
param sitesZoneId string

@description('Whether there are audit logs.')
param auditLogs bool

@description('Whether a lock keeps the storage account of the dead letters from being deleted.')
param deleteLocks bool

@description('The Key Vault of the IoT Hub; empty without one.')
param vaultName string

var sessionNamespace = 'sbns-devicestate-${token}'

module monitoring 'monitoring.bicep' = {
  name: 'monitoring-${token}'
  params: {
    token: token
    location: location
    tags: tags
    retentionDays: logRetentionDays
    dailyQuotaGB: logDailyQuotaGB
    handlerPrincipalId: principalId
    operatorPrincipalIds: operatorPrincipalIds
  }
}

module eventHubs 'event-hubs.bicep' = if (withEventHubs) {
  name: 'event-hubs-${token}'
  params: {
    name: namespace
    location: location
    tags: tags
    withHub: withHub
    isKept: keepsNamespace
    hubName: hubName
    consumerGroup: consumerGroup
    partitionCount: partitionCount
    retentionHours: retentionHours
    throughputUnits: throughputUnits
    maximumThroughputUnits: maximumThroughputUnits
    zoneRedundant: zoneRedundant
    handlerPrincipalId: principalId
    senderPrincipalIds: senderPrincipalIds
    endpointSubnetId: endpointSubnetId
    dnsZoneId: serviceBusZoneId
  }
}

module serviceBus 'service-bus.bicep' = if (withSessions) {
  name: 'service-bus-${token}'
  params: {
    name: sessionNamespace
    location: location
    tags: tags
    queueName: sessionQueueName
    retentionHours: retentionHours
    handlerPrincipalId: principalId
    operatorPrincipalIds: operatorPrincipalIds
    senderPrincipalIds: senderPrincipalIds
    endpointSubnetId: endpointSubnetId
    dnsZoneId: serviceBusZoneId
  }
}

module deadLetters 'dead-letters.bicep' = {
  name: 'dead-letters-${token}'
  params: {
    name: 'stdead${token}'
    location: location
    tags: tags
    redundancy: deadLetterRedundancy
    handlerPrincipalId: principalId
    operatorPrincipalIds: operatorPrincipalIds
    endpointSubnetId: endpointSubnetId
    blobZoneId: blobZoneId
    queueZoneId: queueZoneId
    deleteLock: deleteLocks
  }
}

module hostStorage 'host-storage.bicep' = {
  name: 'host-storage-${token}'
  params: {
    name: 'sthost${token}'
    location: location
    tags: tags
    zoneRedundant: zoneRedundant
    handlerPrincipalId: principalId
    operatorPrincipalIds: operatorPrincipalIds
    endpointSubnetId: endpointSubnetId
    blobZoneId: blobZoneId
    tableZoneId: tableZoneId
    packagePrincipalId: packagePrincipalId
    hostStorageRoles: hostStorageRoles
  }
}

// The region's own namespace, never an alias: checkpoints are stored by that name, and another hub's checkpoint would be an
// offset that does not exist here.
var eventHubSettings = withEventHubs
  ? {
      EventHubConnection__fullyQualifiedNamespace: eventHubs.?outputs.fullyQualifiedNamespace ?? ''
      EventHubConnection__credential: 'managedidentity'
      EventHubConnection__clientId: clientId
    }
  : {}

var sessionSettings = withSessions
  ? {
      ServiceBusConnection__fullyQualifiedNamespace: serviceBus.?outputs.fullyQualifiedNamespace ?? ''
      ServiceBusConnection__credential: 'managedidentity'
      ServiceBusConnection__clientId: clientId
    }
  : {}

module functionApp 'function-app.bicep' = {
  name: 'function-app-${token}'
  params: {
    token: token
    location: location
    tags: tags
    azdService: azdService
    identityId: identityId
    packageContainerUri: hostStorage.outputs.packageContainerUri
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyInstances: alwaysReadyInstances
    withSessions: withSessions
    zoneRedundant: zoneRedundantInstances
    subnetId: functionSubnetId
    appSettings: union(settings, eventHubSettings, sessionSettings, {
      // The package always has the function. In an environment without dots in names, the host also reads
      // AzureWebJobs_SessionTelemetryFunction_Disabled.
      'AzureWebJobs.SessionTelemetryFunction.Disabled': withSessions ? 'false' : 'true'
      // The host resolves it even for a disabled function: a missing setting would log an error at each start.
      SessionQueueName: sessionQueueName
      AzureWebJobsStorage__blobServiceUri: hostStorage.outputs.blobServiceUri
      AzureWebJobsStorage__tableServiceUri: hostStorage.outputs.tableServiceUri
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: clientId
      APPLICATIONINSIGHTS_CONNECTION_STRING: monitoring.outputs.connectionString
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${clientId};Authorization=AAD'
      DeadLetterStorage__queueServiceUri: deadLetters.outputs.queueServiceUri
      DeadLetterStorage__blobServiceUri: deadLetters.outputs.blobServiceUri
      DeadLetterStorage__credential: 'managedidentity'
      DeadLetterStorage__clientId: clientId
      DeadLetterContainer: deadLetters.outputs.containerName
      CosmosConnection__credential: 'managedidentity'
      CosmosConnection__clientId: clientId
    })
    packageIdentityId: packageIdentityId
    endpointSubnetId: privateFunctionApp ? endpointSubnetId : ''
    sitesZoneId: sitesZoneId
  }
}

module alerts 'alerts.bicep' = {
  name: 'alerts-${token}'
  params: {
    token: token
    location: location
    tags: tags
    workspaceName: monitoring.outputs.workspaceName
    retentionHours: retentionHours
    emails: alertEmails
    namespace: withEventHubs ? namespace : ''
    iotHubName: iotHubName
    sessionNamespace: withSessions ? sessionNamespace : ''
    accountId: accountId
  }
  dependsOn: [eventHubs, serviceBus]
}

module audit 'audit.bicep' = if (auditLogs) {
  name: 'audit-${token}'
  params: {
    workspaceName: monitoring.outputs.workspaceName
    deadLetterStorageName: deadLetters.outputs.name
    hostStorageName: hostStorage.outputs.name
    accountId: accountId
    vaultName: vaultName
  }
}

@description('The name of the function app.')
output functionAppName string = functionApp.outputs.name

@description('Its host name.')
output functionAppHostName string = functionApp.outputs.hostName

@description('The address of the namespace that it reads; empty with an IoT Hub.')
output eventHubsNamespace string = eventHubs.?outputs.fullyQualifiedNamespace ?? ''

@description('The address of the namespace with the session queue; empty without one.')
output serviceBusNamespace string = serviceBus.?outputs.fullyQualifiedNamespace ?? ''

@description('The address of the queues of its dead letters.')
output deadLetterQueueUri string = deadLetters.outputs.queueServiceUri

@description('The address of the blobs of its dead letters.')
output deadLetterBlobUri string = deadLetters.outputs.blobServiceUri

@description('The storage account of its host, with the checkpoints.')
output hostStorageName string = hostStorage.outputs.name

@description('The id for queries of its logs.')
output workspaceId string = monitoring.outputs.workspaceId
