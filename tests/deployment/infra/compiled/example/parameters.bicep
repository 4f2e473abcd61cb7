@minLength(1)
@maxLength(32)
param environmentName string
param location string = resourceGroup().location
param standbyLocation string = ''
param zoneRedundant bool = true
param privateNetwork bool = false
@allowed(['eventHubs', 'iotHub'])
param eventSource string = 'eventHubs'
@minValue(2)
@maxValue(32)
param partitionCount int = 32
param sessions bool = false
param cosmosIndexedPaths array = []
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048
param logDailyQuotaGB int = -1

var tags = {
  'azd-env-name': environmentName
  product: 'devicestate'
}
var hubName = 'telemetry'
var sessionQueueName = 'sessions'
var consumerGroup = 'devicestate'
var usesIotHub = eventSource == 'iotHub'
var nothing = ''

var hasTwoStreams = !empty(standbyLocation) && !usesIotHub && !privateNetwork

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
  withHub: false
  keepsNamespace: isPaired
  azdService: ''
}
var regions = hasTwoStreams ? [first, second] : [first]

output AZURE_RESOURCE_GROUP string = resourceGroup().name
output EVENT_HUB_CONSUMER_GROUP string = consumerGroup
output EVENT_HUBS_ALIAS string = hasTwoStreams ? alias : ''
output SESSION_QUEUE_NAME string = sessions ? sessionQueueName : ''
