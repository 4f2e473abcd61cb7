// The virtual network of a closed deployment: a subnet for the instances of the function app, one for the private
// endpoints, and their DNS zones.
@description('The name of the network.')
param name string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('Whether there is an IoT Hub with its Key Vault.')
param withIotHub bool

@description('Whether the function app has a private endpoint.')
param withFunctionApp bool

// A zone's name is part of the service's own address, so it differs from cloud to cloud.
var storageSuffix = environment().suffixes.storage
var zones = {
  blob: 'privatelink.blob.${storageSuffix}'
  queue: 'privatelink.queue.${storageSuffix}'
  table: 'privatelink.table.${storageSuffix}'
  cosmos: 'privatelink.documents.azure.com'
  serviceBus: 'privatelink.servicebus.windows.net'
}
var iotHubZones = {
  iotHub: 'privatelink.azure-devices.net'
  vault: 'privatelink.vaultcore.azure.net'
}
var functionAppZones = {
  // The address to which packages are published has a name in it, too.
  sites: 'privatelink.azurewebsites.net'
}
var allZones = items(union(zones, withIotHub ? iotHubZones : {}, withFunctionApp ? functionAppZones : {}))

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: ['10.0.0.0/16'] }
    subnets: [
      {
        // Only for this app, as the delegation and the plan require. At least /27; /24 has room for all instances.
        name: 'functions'
        properties: {
          addressPrefix: '10.0.0.0/24'
          delegations: [
            {
              name: 'flex-consumption'
              properties: { serviceName: 'Microsoft.App/environments' }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: { addressPrefix: '10.0.1.0/24' }
      }
    ]
  }

  resource functions 'subnets' existing = { name: 'functions' }
  resource endpoints 'subnets' existing = { name: 'endpoints' }
}

resource dnsZones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zone in allZones: {
    name: zone.value
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zone, index) in allZones: {
    parent: dnsZones[index]
    name: name
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: network.id }
    }
  }
]

@description('The subnet of the function app\'s instances.')
output functionSubnetId string = network::functions.id

@description('The subnet of the private endpoints.')
output endpointSubnetId string = network::endpoints.id

@description('DNS zone of blobs.')
output blobZoneId string = resourceId('Microsoft.Network/privateDnsZones', zones.blob)

@description('DNS zone of queues.')
output queueZoneId string = resourceId('Microsoft.Network/privateDnsZones', zones.queue)

@description('DNS zone of tables.')
output tableZoneId string = resourceId('Microsoft.Network/privateDnsZones', zones.table)

@description('DNS zone of Cosmos DB.')
output cosmosZoneId string = resourceId('Microsoft.Network/privateDnsZones', zones.cosmos)

@description('DNS zone of Event Hubs.')
output serviceBusZoneId string = resourceId('Microsoft.Network/privateDnsZones', zones.serviceBus)

@description('DNS zones of IoT Hub: its own, and that of its built-in endpoint, which is an event hub.')
output iotHubZoneIds array = map(
  [iotHubZones.iotHub, zones.serviceBus],
  zone => resourceId('Microsoft.Network/privateDnsZones', zone)
)

@description('DNS zone of Key Vault.')
output vaultZoneId string = resourceId('Microsoft.Network/privateDnsZones', iotHubZones.vault)

@description('DNS zone of function apps.')
output sitesZoneId string = resourceId('Microsoft.Network/privateDnsZones', functionAppZones.sites)
