// What the pipeline deploys to production. docs/operate/capacity.md has the values for larger fleets.
using 'main.bicep'

param environmentName = 'production'
// For the normal load: each deployment resets the namespace to this.
param throughputUnits = 1
// Object ids, separated by commas. Without any: the account that deploys. Otherwise they must include the pipeline's, because
// the smoke test reads the document.
param operatorPrincipalIds = filter(
  map(split(readEnvironmentVariable('OPERATOR_PRINCIPAL_IDS', ''), ','), id => trim(id)),
  id => !empty(id)
)
param senderPrincipalIds = filter(
  map(split(readEnvironmentVariable('SENDER_PRINCIPAL_IDS', ''), ','), id => trim(id)),
  id => !empty(id)
)
