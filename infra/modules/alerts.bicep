// The monitoring of a region: the alerts of ../alerts.json, the saved queries of ../queries, and a workbook. Each deployed
// query is self-contained: parameters of the deployment, the handler's records as columns, and its own text.
// scripts/alerts runs the same queries over the telemetry of one machine. docs/operate/alerts describes each alert.
@description('The unique part of the names.')
param token string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('The name of the workspace.')
param workspaceName string

@description('Retention of the hub, in hours.')
param retentionHours int

@description('Mail addresses to notify. Without any, alerts send no mail.')
param emails array

@description('The Event Hubs namespace; empty with an IoT Hub.')
param namespace string

@description('The IoT Hub; empty without one.')
param iotHubName string

@description('The Service Bus namespace with sessions; empty without one.')
param sessionNamespace string

@description('Resource id of the Cosmos DB account; empty if another region monitors it.')
param accountId string

var usesIotHub = !empty(iotHubName)
var all = any(loadJsonContent('../alerts.json'))
var logAlerts = filter(all, alert => contains(alert, 'query'))
var measured = map(
  filter(all, alert => contains(alert, 'metric')),
  alert => union(alert, { source: sources[alert.metric.of] })
)
var metricAlerts = filter(measured, alert => !empty(alert.source.id))

// The resources of metrics, by their names in ../alerts.json.
var sources = {
  stream: usesIotHub
    ? {
        id: resourceId('Microsoft.Devices/IotHubs', iotHubName)
        namespace: 'Microsoft.Devices/IotHubs'
        key: 'iotHub'
      }
    : {
        id: resourceId('Microsoft.EventHub/namespaces', namespace)
        namespace: 'Microsoft.EventHub/namespaces'
        key: 'name'
      }
  sessions: {
    id: empty(sessionNamespace) ? '' : resourceId('Microsoft.ServiceBus/namespaces', sessionNamespace)
    namespace: 'Microsoft.ServiceBus/namespaces'
    key: 'name'
  }
  documents: {
    id: accountId
    namespace: 'Microsoft.DocumentDB/databaseAccounts'
    key: 'name'
  }
}

var queries = [
  { name: 'batches', text: loadTextContent('../queries/batches.kql') }
  { name: 'costs', text: loadTextContent('../queries/costs.kql') }
  { name: 'dead-letter-rate', text: loadTextContent('../queries/dead-letter-rate.kql') }
  { name: 'dead-letters', text: loadTextContent('../queries/dead-letters.kql') }
  { name: 'dead-letters-expiring', text: loadTextContent('../queries/dead-letters-expiring.kql') }
  { name: 'documents-throttled', text: loadTextContent('../queries/documents-throttled.kql') }
  { name: 'failed-attempts', text: loadTextContent('../queries/failed-attempts.kql') }
  { name: 'group-behind', text: loadTextContent('../queries/group-behind.kql') }
  { name: 'handler-restarts', text: loadTextContent('../queries/handler-restarts.kql') }
  { name: 'lag', text: loadTextContent('../queries/lag.kql') }
  { name: 'lag-near-retention', text: loadTextContent('../queries/lag-near-retention.kql') }
  { name: 'no-output', text: loadTextContent('../queries/no-output.kql') }
  { name: 'one-event', text: loadTextContent('../queries/one-event.kql') }
  { name: 'silent-devices', text: loadTextContent('../queries/silent-devices.kql') }
  { name: 'starts', text: loadTextContent('../queries/starts.kql') }
  { name: 'unrecognized', text: loadTextContent('../queries/unrecognized.kql') }
]
var texts = toObject(queries, query => query.name, query => query.text)
var known = 'let retention = ${retentionHours}h;\n${loadTextContent('../queries/records.kql')}\n'
// In the portal, the time range is the window; no-output excludes a third of this.
var whole = 'let window = 15m;\n${known}'

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' existing = {
  name: workspaceName
}

resource stream 'Microsoft.EventHub/namespaces@2024-01-01' existing = {
  name: usesIotHub ? 'none' : namespace
}

resource iotHub 'Microsoft.Devices/IotHubs@2023-06-30' existing = {
  name: usesIotHub ? iotHubName : 'none'
}

resource sessionQueues 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: empty(sessionNamespace) ? 'none' : sessionNamespace
}

// The hub's input metrics, in the same workspace as the records: an alert on input without output needs both.
resource streamMetrics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!usesIotHub) {
  name: 'devicestate'
  scope: stream
  properties: {
    workspaceId: workspace.id
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

resource iotHubMetrics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (usesIotHub) {
  name: 'devicestate'
  scope: iotHub
  properties: {
    workspaceId: workspace.id
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

// For operators. Its IncomingMessages are not the hub's: the queries distinguish them.
resource sessionMetrics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(sessionNamespace)) {
  name: 'devicestate'
  scope: sessionQueues
  properties: {
    workspaceId: workspace.id
    metrics: [
      {
        category: 'AllMetrics'
        enabled: true
      }
    ]
  }
}

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(emails)) {
  name: 'ag-devicestate-${token}'
  location: 'Global'
  tags: tags
  properties: {
    groupShortName: 'devicestate'
    enabled: true
    emailReceivers: [
      for (address, index) in emails: {
        name: 'email-${index}'
        emailAddress: address
        useCommonAlertSchema: true
      }
    ]
  }
}

resource logRules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for alert in logAlerts: {
    name: 'alert-devicestate-${alert.name}-${token}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'devicestate: ${alert.title}'
      description: '${alert.description} What to do: docs/operate/alerts/${alert.name}.md'
      severity: alert.severity
      enabled: true
      scopes: [workspace.id]
      evaluationFrequency: alert.frequency
      windowSize: alert.window
      criteria: {
        allOf: [
          {
            query: 'let window = ${toLower(replace(alert.window, 'PT', ''))};\n${known}${texts[alert.query]}'
            metricMeasureColumn: alert.measure
            timeAggregation: alert.aggregation
            operator: alert.operator
            threshold: alert.threshold
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      autoMitigate: true
      // In a new workspace a table without rows may not exist yet. The tests validate the queries.
      skipQueryValidation: true
      actions: empty(emails) ? {} : { actionGroups: [group.id] }
    }
  }
]

resource metricRules 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for alert in metricAlerts: {
    name: 'alert-devicestate-${alert.name}-${token}'
    location: 'global'
    tags: tags
    properties: {
      description: '${alert.title}. ${alert.description} What to do: docs/operate/alerts/${alert.name}.md'
      severity: alert.severity
      enabled: true
      scopes: [alert.source.id]
      evaluationFrequency: alert.frequency
      windowSize: alert.window
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: alert.name
            metricNamespace: alert.source.namespace
            metricName: alert.metric[alert.source.key]
            dimensions: alert.metric.dimensions
            timeAggregation: alert.aggregation
            operator: alert.operator
            threshold: alert.threshold
          }
        ]
      }
      autoMitigate: true
      actions: empty(emails) ? [] : [{ actionGroupId: group.id }]
    }
  }
]

resource savedQueries 'Microsoft.OperationalInsights/workspaces/savedSearches@2025-02-01' = [
  for query in queries: {
    parent: workspace
    name: 'devicestate-${query.name}'
    // Replaces an existing rule: without it a second deployment is rejected.
    etag: '*'
    properties: {
      category: 'devicestate'
      displayName: 'devicestate: ${query.name}'
      query: '${whole}${query.text}'
      version: 2
    }
  }
]

// Each item of the workbook with a query has its name.
var book = any(loadJsonContent('../workbook.json'))
var items = map(
  book.items,
  item =>
    contains(item.content, 'query') ? union(item, { content: { query: '${whole}${texts[item.content.query]}' } }) : item
)

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(workspace.id, 'devicestate')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'devicestate ${token}'
    category: 'workbook'
    version: '1.0'
    sourceId: workspace.id
    serializedData: string(union(book, {
      items: items
      fallbackResourceIds: [workspace.id]
    }))
  }
}
