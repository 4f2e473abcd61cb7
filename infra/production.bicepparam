// What the pipeline deploys to production. docs/operate/capacity.md says what to raise for how many devices.
using 'main.bicep'

param environmentName = 'production'
// What the normal load needs: each deployment sets the namespace back to it.
param throughputUnits = 1
// Object ids, separated by commas: the pipeline's own among them, for the smoke test to read the document.
param operatorPrincipalIds = filter(
  map(split(readEnvironmentVariable('OPERATOR_PRINCIPAL_IDS', ''), ','), id => trim(id)),
  id => !empty(id)
)
param senderPrincipalIds = filter(
  map(split(readEnvironmentVariable('SENDER_PRINCIPAL_IDS', ''), ','), id => trim(id)),
  id => !empty(id)
)
