import { ownEntry } from './cluster/cluster-file.ts'
import type { ClusterKeeper } from './cluster/cluster-keeper.ts'
import type { NodeConfig } from './config/types.ts'
import { createHttpServer, type HttpServer, type HttpServerOptions } from './http/server.ts'
import type { RoutePorts } from './http/routes.ts'
import { type LiveTls, openNodeTls, type TlsPair } from './http/tls-files.ts'
import { createTlsWatch } from './http/tls-watch.ts'
import type { Log } from './ops/log.ts'
import type { Own } from './open-own.ts'
import type { Clock, Rng } from './ports.ts'
import type { Stop } from './stop-all.ts'

export interface OpenHttpParams extends Omit<RoutePorts, 'cluster'>, Pick<HttpServerOptions, 'onReply'> {
  readonly config: NodeConfig
  readonly own: Pick<Own, 'identity' | 'sign'>
  readonly clusterKeeper: ClusterKeeper
  readonly clock: Clock
  readonly rng: Rng
  readonly log: Log
}

/** Listens, over TLS unless the configuration says otherwise. @throws KmsError `http-listen`, `bad-tls-files` */
export async function openHttp(
  params: OpenHttpParams,
  stops: Stop[],
): Promise<{ readonly http: HttpServer; readonly tls: LiveTls | undefined }> {
  const { config, own, clusterKeeper, clock, rng, log, ...routes } = params
  const { identity, sign } = own
  const pinned = (): Uint8Array | undefined => ownEntry(clusterKeeper.current(), identity.publicKey).tlsSpkiSha256
  const watch = createTlsWatch({ pinned, clock, log })
  const onChange = (pair: TlsPair): void => http.setTls(pair)
  const tls = await openNodeTls({ http: config.http, own: identity.tls, log, watch, onChange })
  stops.push(async () => tls?.stop())
  const http = createHttpServer({
    ...routes,
    cluster: () => clusterKeeper.current(),
    host: config.http.host,
    port: config.http.port,
    ...(tls && { tls: tls.current() }),
    corsOrigins: config.http.corsOrigins,
    limits: config.limits,
    clock,
    rng,
    signer: { sign, publicKey: identity.publicKey },
    onError: (cause, requestId) => log.error({ cause, requestId }, 'http-error'),
  })
  await http.start()
  stops.push(() => http.stop())
  return { http, tls }
}
