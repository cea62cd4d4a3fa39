import { createReport } from './attest/report.ts'
import { join } from 'node:path'
import { selectCurve } from '@tkms/curve-native'
import { type Cluster, type KmsError, verifyEd25519 } from '@tkms/dkg'
import { createAdminServer } from './admin/admin-server.ts'
import { createBackup } from './backup/create-backup.ts'
import { type CeremonyService, createCeremonyService } from './ceremony/service.ts'
import { mayEraseOnWord, openSlotBook } from './ceremony/slot-book.ts'
import { createClusterKeeper } from './cluster/cluster-keeper.ts'
import { clusterPath } from './cluster/cluster-file.ts'
import { rosterOf } from './cluster/roster-roles.ts'
import { createClusterOperations } from './cluster/update-cluster.ts'
import { startAudit } from './audit/start-audit.ts'
import type { NodeConfig } from './config/types.ts'
import { ceremonyKeys, livingCommittees } from './keys/ceremony-keys.ts'
import { nodeStanding } from './keys/node-standing.ts'
import { connectKeys } from './keys/connect-keys.ts'
import { openKeys } from './keys/open-keys.ts'
import { createKeyCare } from './key-care.ts'
import { DEFAULT_NET_LIMITS, type NetLimits } from './net/limits.ts'
import type { Log } from './ops/log.ts'
import { measureCode } from './ops/code-hash.ts'
import { createNodeMetrics } from './ops/metrics/node-metrics.ts'
import { watchNode } from './ops/metrics/open-metrics.ts'
import { createDrain } from './ops/drain.ts'
import { createReadiness } from './ops/readiness.ts'
import { createStatus } from './ops/status.ts'
import type { PolicyState } from './policy/live-policy.ts'
import { openHttp } from './open-http.ts'
import { openNetwork } from './open-network.ts'
import { openSetBackHere, knownHere } from './open-set-back.ts'
import { openOwn } from './open-own.ts'
import { openOwnAttestation } from './open-own-attestation.ts'
import type { Rng } from './ports.ts'
import type { NodeSealer } from './seal/key-sealer.ts'
import { openAsking } from './serve/open-asking.ts'
import { openServing } from './serve/open-serving.ts'
import { nodeFileSystem } from './store/file-system.ts'
import { storeDirectory, systemClock, systemRng } from './system.ts'
import { type Stop, stopAll } from './stop-all.ts'
import { VERSION } from './version.ts'

export interface NodeParams {
  readonly config: NodeConfig
  /** Of the sealed store; taken over. */
  readonly sealer: NodeSealer
  readonly log: Log
  /** Where everything random comes from; default: the operating system. */
  readonly rng?: Rng
  readonly netLimits?: NetLimits
}

/** A running node. */
export interface KmsNode {
  readonly name: string
  readonly url: string
  /** Multiaddrs with the real ports. */
  readonly addresses: readonly string[]
  cluster(): Cluster
  /** Resolves, if ever, when the node must not run on: another process has its identity. */
  readonly failed: Promise<KmsError>
  /** Reads the policy file again now, and the TLS files, as SIGHUP asks. */
  reloadPolicy(): Promise<PolicyState>
  /** Takes no new work, lets what is under way finish for a few seconds, closes everything in reverse order. Idempotent. */
  stop(): Promise<void>
}

/**
 * Starts a node: store, identity, self-check of every key, HTTP, libp2p, admin socket, ceremonies. What was started is stopped again
 * when a later part fails.
 * @throws KmsError of the part that failed: `unseal-failed`, `cluster-not-joined`, `http-listen`, ...
 */
export async function startNode(params: NodeParams): Promise<KmsNode> {
  const stops: Stop[] = []
  try {
    return await start(params, stops)
  } catch (cause) {
    await stopAll(stops, params.log)
    throw cause
  }
}

async function start(params: NodeParams, stops: Stop[]): Promise<KmsNode> {
  const { config, log, rng = systemRng, netLimits: limits = DEFAULT_NET_LIMITS } = params
  const clock = systemClock
  const { curve, fallbackReason } = selectCurve()
  if (fallbackReason !== undefined) log.warn({ reason: fallbackReason }, 'curve-fallback')

  const own = await openOwn({ config, sealer: params.sealer, rng, log }, stops)
  const { store, identity, sign, joined, self } = own
  const clusterKeeper = createClusterKeeper({
    path: clusterPath(config.dataDir),
    cluster: joined,
    curve,
    verify: verifyEd25519,
  })
  const slots = await openSlotBook(store)
  const keys = await openKeys({
    curve,
    store,
    clusterKeeper,
    dataDir: config.dataDir,
    self: identity.publicKey,
    sign,
    clock,
    log,
    retireGraceMs: config.ceremony.retireGraceMs,
    mayErase: async (known) => mayEraseOnWord(slots, curve, known),
  })
  stops.push(() => keys.stop())

  const { clusterId } = joined.config
  const { profile } = config
  const facts = { version: VERSION, profile, curve: curve.backend, sealer: own.sealer.provider }
  const metrics = createNodeMetrics(facts, clock)
  const { onFailure, onCommit } = metrics.audit
  const audit = await startAudit({ config, store, identity, clusterId, index: self.index, sign, clock, log, onFailure })
  stops.push(() => audit.stop())
  audit.subscribe(onCommit)
  const lender = keys.table.lender('ecies-dec')
  const asking = await openAsking({ config, clusterId, curve, lender, clock, log, onPolicy: audit.onPolicy })
  const { policy, dryRun } = asking
  stops.push(() => policy.stop())
  const { ledger } = audit
  const { onReleased, onReply } = metrics
  const { pipeline: serving, stopWorkers } = openServing({ config, asking, ledger, sign, rng, log, onReleased })
  stops.push(stopWorkers)
  const drain = createDrain(serving)
  const { pipeline } = drain

  const { attester, ownAttestation } = await openOwnAttestation({ config, clock, rng, log }, stops)
  const status = createStatus({
    version: VERSION,
    code: await measureCode(),
    clusterId,
    publicKey: identity.publicKey,
    name: config.name,
    profile: config.profile,
    sealing: own.sealer.provider,
    curve,
    attestation: ownAttestation,
    keys: keys.directory,
    pipeline,
    audit,
    clock,
  })
  const directory = storeDirectory(config.dataDir)
  const readiness = createReadiness({
    drain,
    keys: keys.directory,
    audit,
    fileSystem: nodeFileSystem,
    directory,
    clock,
    rng,
  })
  const base = { config, own, clock, rng, log }
  const overHttp = { pipeline: metrics.counted('http', pipeline), metrics: metrics.text, onReply }
  const attestation = createReport({ attester, clusterId, identity: identity.publicKey, keys: keys.directory, log })
  const directories = { attestation, clusterKeeper, dryRun, keys: keys.directory, status, readiness }
  const { http, tls } = await openHttp({ ...base, ...overHttp, ...directories }, stops)
  const onRateLimited = (): void => metrics.onRateLimited('libp2p')
  const { onAttestationRefused } = metrics
  const overLibp2p = { limits, pipeline: metrics.counted('libp2p', pipeline), onRateLimited, onAttestationRefused }
  const standing = nodeStanding(keys.keeper, clusterKeeper)
  const opened = await openNetwork({ ...base, ...overLibp2p, attester, standing }, stops)
  const { host, guard, attested, ceremonies: network } = opened
  const { startupWaitMs } = config.ceremony
  const updateRoster = (): void => {
    const open = ceremonies.openCommittees().map((committee) => committee.config)
    try {
      network.setPeers(rosterOf(clusterKeeper.current(), { current: livingCommittees(keys.keeper), open }))
    } catch (cause) {
      log.error({ cause }, 'roster-refused')
    }
  }
  const shared = { self: self.index, curve, sign, store, network, clock, rng, nodeSeed: identity.nodeSeed, log }
  const setBack = await openSetBackHere({
    ...shared,
    slots,
    clusterId,
    ...knownHere(keys.keeper, joined.config, self.index),
    nodes: () => clusterKeeper.nodes(),
    ceremonies: () => ceremonies,
    destroys: () => care.destroys,
  })
  const { awaited } = setBack
  const care = createKeyCare({ ...shared, config, keys, clusterKeeper, awaited, ceremonies: () => ceremonies })
  const ceremonies: CeremonyService = createCeremonyService({
    ...shared,
    cluster: joined,
    timings: config.ceremony,
    identity: identity.seed,
    evidenceDirectory: join(config.dataDir, 'evidence'),
    keys: { ...ceremonyKeys(keys.keeper), isClosed: (keyId) => care.destroys.hasSigned(keyId) },
    slots,
    awaited,
    addressBook: clusterKeeper,
    dataDir: config.dataDir,
    onCommittees: updateRoster,
  })
  stops.push(() => ceremonies.stop())
  await ceremonies.start()
  stops.push(() => care.stop())
  await care.start()
  clusterKeeper.onChange(updateRoster)
  keys.subscribe({ onChanged: () => ceremonies.onKeysChanged() })
  updateRoster()
  const connected = connectKeys({
    curve,
    keys,
    self: identity.publicKey,
    network,
    ceremonies: setBack.listen(
      care.listen({
        onFrame: (from, frame) => ceremonies.onFrame(from, frame),
        onPeerConnected: (peer) => {
          guard.onPeerConnected(peer)
          ceremonies.onPeerConnected(peer)
        },
      }),
    ),
    onSynced: (peer) => setBack.ask(peer),
    clock,
    startupWaitMs,
    log,
  })
  stops.push(() => connected.stop())
  await network.start(connected.listener)
  stops.push(() => network.stop())

  const watched = {
    config,
    own,
    keys,
    audit,
    readiness,
    network,
    pipeline,
    ceremonies,
    policy,
    clusterKeeper,
    attested,
    ownAttestation,
  }
  watchNode(metrics, { ...watched, tls: () => tls?.state() })

  const admin = createAdminServer({
    dataDir: config.dataDir,
    socketPath: config.adminSocket,
    ceremonies,
    care,
    audit,
    asking,
    attestation,
    indexOf: (name) => clusterKeeper.nodes().find((node) => node.name === name)?.index,
    status: () => ({
      ...status(),
      index: self.index,
      peersConnected: network.connected,
      restored: setBack.state(),
      peerAttestation: attested(),
      url: http.url,
      policy: policy.state(),
      ...(tls && { tls: tls.state() }),
    }),
    keys: () => keys.operatorDirectory.list(),
    cluster: createClusterOperations({
      keeper: clusterKeeper,
      self: self.index,
      keys: () =>
        ceremonyKeys(keys.keeper)
          .list()
          .map(({ key: known }) => known),
      open: () => ceremonies.openCommittees(),
      curve,
      verify: verifyEd25519,
      learn: (certificates, accepted) => keys.keeper.learn(certificates, { accepted }),
    }),
    backup: (recipients) => createBackup({ store, config, curve, clock }, recipients),
    onInternalError: (cause) => log.error({ cause }, 'admin-error'),
  })
  await admin.start()
  stops.push(() => admin.stop())

  await connected.open()
  stops.push(() => drain.stop())
  const addresses = host.getMultiaddrs().map(String)
  log.info({ index: self.index, url: http.url, addresses, curve: curve.backend }, 'node-started')
  let stopping: Promise<void> | undefined
  return {
    name: config.name,
    url: http.url,
    addresses,
    cluster: () => clusterKeeper.current(),
    failed: guard.mustStop,
    reloadPolicy: () => Promise.all([policy.reload(), tls?.reload()]).then(([state]) => state),
    stop: () => (stopping ??= stopAll(stops, log)),
  }
}
