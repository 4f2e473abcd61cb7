// A private endpoint of one service of a resource, with its name in the network's DNS.
@description('The name.')
param name string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('The resource of the endpoint.')
param targetId string

@description('The service of the resource, such as blob; each has its own endpoint.')
param service string

@description('The subnet.')
param subnetId string

@description('The private DNS zones of its names.')
param dnsZoneIds array

resource endpoint 'Microsoft.Network/privateEndpoints@2024-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    subnet: { id: subnetId }
    privateLinkServiceConnections: [
      {
        name: service
        properties: {
          privateLinkServiceId: targetId
          groupIds: [service]
        }
      }
    ]
  }
}

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = {
  parent: endpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      for (zoneId, index) in dnsZoneIds: {
        name: 'zone${index}'
        properties: { privateDnsZoneId: zoneId }
      }
    ]
  }
}
