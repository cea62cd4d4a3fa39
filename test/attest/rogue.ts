import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { encode } from 'it-length-prefixed'
import { createChannelProver } from '../../packages/kms-node/src/attest/channel-proof.ts'
import { reasonOfStatus } from '../../packages/kms-node/src/attest/refusal-status.ts'
import { openSimulatedAttester } from '../../packages/kms-node/src/attest/simulated-attester.ts'
import { loadNodeConfig } from '../../packages/kms-node/src/config/node-config.ts'
import type { AttestReply } from '../../packages/kms-node/src/net/attest-frame.ts'
import { createAttestProtocol } from '../../packages/kms-node/src/net/attest-protocol.ts'
import { encodeCeremonyFrame } from '../../packages/kms-node/src/net/ceremony-frame.ts'
import { CEREMONY_PROTOCOL } from '../../packages/kms-node/src/net/ceremony-protocol.ts'
import { createHost, startHost } from '../../packages/kms-node/src/net/host.ts'
import { DEFAULT_NET_LIMITS } from '../../packages/kms-node/src/net/limits.ts'
import { createRoster, type RosterPeer } from '../../packages/kms-node/src/net/roster.ts'
import { createLog } from '../../packages/kms-node/src/ops/log.ts'
import { openOwn } from '../../packages/kms-node/src/open-own.ts'
import { openSealer } from '../../packages/kms-node/src/seal/open-sealer.ts'
import { type Stop, stopAll } from '../../packages/kms-node/src/stop-all.ts'
import { systemRng } from '../../packages/kms-node/src/system.ts'

/*
 * Holds a member's identity and a good machine, and misuses both: `report_data` shows quotes over other bytes, `replayed` proves itself
 * on one connection and shows that quote on a second. Prints one JSON line per peer that it is to try: what the peer said of it, and
 * whether the peer cut a ceremony stream on that connection.
 */

/** What became of the attempt at one peer. */
export interface RogueReport {
  readonly peer: string
  readonly reason: string
  readonly cut: boolean
}

const LISTEN = ['/ip4/127.0.0.1/tcp/0']
const VERDICT_MS = 20_000
const CEREMONY_FRAME = encodeCeremonyFrame({
  type: 'message',
  ceremony: new Uint8Array(32).fill(1),
  signed: new Uint8Array(200).fill(2),
})

type Prove = Parameters<typeof createAttestProtocol>[0]['prove']

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { directory: { type: 'string' }, mode: { type: 'string' }, peers: { type: 'string' } },
  })
  const { directory = '', mode, peers: count } = values
  const stops: Stop[] = []
  const log = createLog({ level: 'silent', node: 'rogue' })
  const config = await loadNodeConfig({ directory, env: process.env })
  const sealer = await openSealer({ config, env: process.env })
  const own = await openOwn({ config, sealer, rng: systemRng, log }, stops)
  const roster = createRoster(own.joined.nodes, own.self.index)
  const limits = DEFAULT_NET_LIMITS
  const host = await createHost({ identity: own.identity.seed, roster, listen: LISTEN, announce: [], limits })
  const verdicts = createVerdicts()
  const prover = createChannelProver({
    attester: await openSimulatedAttester(join(directory, 'machine.json')),
    clusterId: own.joined.config.clusterId,
    identity: own.identity.publicKey,
    certificatesHash: () => new Uint8Array(32),
  })
  let prove: Prove = prover
  const protocol = createAttestProtocol({
    host,
    roster,
    limits,
    prove: (challenge, signal) => prove(challenge, signal),
    onVerdict: (peer, status) => verdicts.add(peer, reasonOfStatus(status) ?? 'accepted'),
    onUnanswered: (peer) => verdicts.add(peer, 'unanswered'),
  })
  await protocol.start()
  await startHost(host, LISTEN)
  stops.push(() => host.stop())
  const connect = async (peer: RosterPeer, how: Prove): Promise<{ connection: Connection; reason: string }> => {
    prove = how
    const said = verdicts.next(peer.index)
    return { connection: await host.dial([...peer.addresses], { force: true }), reason: await said }
  }
  const otherData: Prove = (challenge, signal) => prover({ ...challenge, nonce: randomBytes(32) }, signal)
  try {
    for (const peer of roster.peers.filter(({ index }) => index <= Number(count))) {
      let used = await connect(peer, mode === 'replayed' ? keeping(prover) : otherData)
      if (mode === 'replayed') {
        if (used.reason !== 'accepted') throw new Error(`${peer.name} refused an honest proof: ${used.reason}`)
        used = await connect(peer, () => Promise.resolve(kept()))
      }
      const report: RogueReport = { peer: peer.name, reason: used.reason, cut: await isCut(used.connection) }
      console.log(JSON.stringify(report))
      await hangUp(host, peer)
    }
  } finally {
    await stopAll(stops, log)
  }
}

let last: AttestReply | undefined
const keeping =
  (prover: Prove): Prove =>
  async (challenge, signal) =>
    (last = await prover(challenge, signal))

function kept(): AttestReply {
  if (last === undefined) throw new Error('there is no quote to show again')
  return last
}

const hangUp = (host: Libp2p, peer: RosterPeer): Promise<void> => host.hangUp(peer.peerId)

/** Whether the other side resets a ceremony stream with a frame in it. It would keep that of a member open. */
async function isCut(connection: Connection): Promise<boolean> {
  const stream = await connection.newStream(CEREMONY_PROTOCOL, { signal: AbortSignal.timeout(VERDICT_MS) })
  if (stream.status === 'open') for (const chunk of encode([CEREMONY_FRAME])) stream.send(chunk)
  await closed(stream)
  return stream.status === 'reset'
}

const closed = (stream: Stream): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, VERDICT_MS)
    const done = (): void => {
      clearTimeout(timer)
      resolve()
    }
    if (stream.status === 'open') stream.addEventListener('close', done, { once: true })
    else done()
  })

/** What peers said, in the order it came. */
function createVerdicts(): { add(peer: number, reason: string): void; next(peer: number): Promise<string> } {
  const waiting = new Map<number, (reason: string) => void>()
  return {
    add: (peer, reason) => waiting.get(peer)?.(reason),
    next: (peer) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`node ${peer} said nothing`)), VERDICT_MS)
        waiting.set(peer, (reason) => {
          clearTimeout(timer)
          resolve(reason)
        })
      }),
  }
}

await main()
