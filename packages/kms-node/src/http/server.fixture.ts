import { clock, nodeSigner, rng, verifiedKey } from '../serve/pipeline.fixture.ts'
import type { HttpServerOptions } from './server.ts'

/** A server on any free port of loopback that has no key, lets everybody ask once a second, and throws what goes wrong. */
export function serverOptions(
  own: Pick<HttpServerOptions, 'pipeline' | 'dryRun'> & Partial<HttpServerOptions>,
): HttpServerOptions {
  const { config } = verifiedKey()
  return {
    keys: { list: () => [], get: () => undefined, chain: () => undefined, problem: () => undefined },
    cluster: () => ({ config, configHash: new Uint8Array(32), nodes: [], certificates: [] }),
    status: () => ({ version: '0' }),
    attestation: async () => 'no-attestation',
    readiness: { problems: async () => [] },
    metrics: async () => 'tkms_up 1\n',
    host: '127.0.0.1',
    port: 0,
    corsOrigins: [],
    limits: { requestsPerSecond: 1, requestBurst: 100, maxHttpConnections: 64, httpRequestTimeoutMs: 400 },
    clock,
    rng,
    signer: nodeSigner,
    onError: (cause) => {
      throw cause
    },
    ...own,
  }
}
