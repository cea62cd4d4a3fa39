import type { InitInput } from '@tkms/kms-node'

/** What `init` is asked for a node of the production profile, which the test does not start. */
export const productionInput = (
  directory: string,
  sealer: NonNullable<InitInput['sealer']>,
  env: InitInput['env'],
): InitInput => ({
  directory,
  name: 'alice',
  profile: 'production',
  listen: ['/ip4/127.0.0.1/tcp/7001'],
  announce: [],
  httpHost: '127.0.0.1',
  httpPort: 7443,
  tls: true,
  sealer,
  env,
})
