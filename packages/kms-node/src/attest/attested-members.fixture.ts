import { createHmac, randomBytes } from 'node:crypto'
import { equalBytes, type ParticipantIndex, participantIndex } from '@tkms/dkg'
import { type AttestProtocol, type ChannelChallenge, createAttestProtocol } from '../net/attest-protocol.ts'
import type { AttestReply } from '../net/attest-frame.ts'
import { type Member, openMember } from '../net/test-members.fixture.ts'
import { startTestHost, TEST_LIMITS, type TestHost } from '../net/test-hosts.fixture.ts'
import type { Attester, RecordStore } from '../ports.ts'
import { memoryStore } from '../store/memory-store.fixture.ts'
import { createChannelProver, createChannelVerifier, type JudgeQuote } from './channel-proof.ts'
import { openProofMemory } from './proof-memory.ts'
import { createPeerAttestation, type PeerAttestation } from './peer-attestation.ts'
import { reasonOfStatus } from './refusal-status.ts'
import { refusedQuote } from './verdict.ts'

/** The manufacturer of these tests: it signs what a machine of its says runs there. */
const MANUFACTURER = randomBytes(32)
const MAC_BYTES = 32
export const GOOD_CODE = 1
export const OTHER_CODE = 2

const macOf = (bytes: Uint8Array): Uint8Array => createHmac('sha256', MANUFACTURER).update(bytes).digest()

/** u8 code || report data || MAC: what a machine that runs this code signs. */
export function machineQuote(code: number, reportData: Uint8Array): Uint8Array {
  const signed = Uint8Array.from([code, ...reportData])
  return Uint8Array.from([...signed, ...macOf(signed)])
}
export const reportDataOf = (quote: Uint8Array): Uint8Array => quote.slice(1, -MAC_BYTES)

export const attesterOf = (quote: Attester['quote']): Attester => ({ provider: 'simulated', quote })
export const goodAttester: Attester = attesterOf((data) => Promise.resolve(machineQuote(GOOD_CODE, data)))

/** The time of one test, and until when the manufacturer's papers are good. */
export interface TestTime {
  nowMs: number
  papersUntilMs: number
}
export const testTime = (): TestTime => ({ nowMs: 1_800_000_000_000, papersUntilMs: 1_802_592_000_000 })

const judgeAt =
  (time: TestTime): JudgeQuote =>
  (quote, { reportData, asOfMs = time.nowMs }) => {
    const [code] = quote
    if (!equalBytes(macOf(quote.slice(0, -MAC_BYTES)), quote.slice(-MAC_BYTES)))
      return Promise.resolve(refusedQuote('signature', 'not of this manufacturer'))
    if (!equalBytes(reportDataOf(quote), reportData)) return Promise.resolve(refusedQuote('report-data', 'of another'))
    if (code !== GOOD_CODE) return Promise.resolve(refusedQuote('measurement', 'on no list'))
    if (asOfMs >= time.papersUntilMs) return Promise.resolve(refusedQuote('expired', 'the papers are old'))
    const { papersUntilMs: expiresMs } = time
    return Promise.resolve({ kind: 'accepted', tee: 'tdx', measurement: 'v1', tcbStatus: 'UpToDate', expiresMs })
  }

/** A member that asks its peers for proofs, and what it has seen of them. */
export interface AttestedMember extends Member {
  readonly gate: PeerAttestation
  readonly protocol: AttestProtocol
  /** "peer: reason", and of renewals and the floor "peer expiring", "peer kept". */
  readonly judged: string[]
  /** What peers said of this one: "peer: reason", or "peer: yes". */
  readonly told: string[]
}

export interface AttestedOptions {
  readonly addresses?: readonly (readonly string[])[]
  readonly attester?: Attester
  readonly prove?: (challenge: ChannelChallenge) => Promise<AttestReply>
  readonly time?: TestTime
  readonly keepFloor?: boolean
  readonly known?: number
  /** What the hash of its certificates is made of. */
  readonly certificates?: number
  /** Of the member's node: it outlives it. */
  readonly store?: RecordStore
}

const identityOf = (member: TestHost, index: number): Uint8Array =>
  member.cluster.nodes.find((node) => node.index === index)?.publicKey ?? new Uint8Array(32)

export async function startAttested(index: number, options: AttestedOptions = {}): Promise<AttestedMember> {
  const { addresses = [], attester = goodAttester, time = testTime(), keepFloor = true, known = 3 } = options
  const started = await startTestHost(index, addresses, TEST_LIMITS, known)
  const { host, roster, cluster } = started
  const { clusterId } = cluster.config
  const judged: string[] = []
  const told: string[] = []
  const certificatesHash = (): Uint8Array => new Uint8Array(32).fill(options.certificates ?? 0)
  const identity = identityOf(started, index)
  const protocol = createAttestProtocol({
    host,
    roster,
    limits: TEST_LIMITS,
    prove: options.prove ?? createChannelProver({ attester, clusterId, identity, certificatesHash }),
    onVerdict: (peer, status) => told.push(`${peer}: ${reasonOfStatus(status) ?? 'yes'}`),
    onUnanswered: (peer) => told.push(`${peer}: unanswered`),
  })
  await protocol.start()
  const note = (peer: { readonly index: ParticipantIndex }, what: string): void => {
    judged.push(`${peer.index}${what}`)
  }
  const onError = (cause: unknown): void => void judged.push(String(cause))
  const proofs = await openProofMemory({ store: options.store ?? memoryStore(), roster, onError })
  const gate = createPeerAttestation({
    proofs,
    certificatesHash,
    host,
    roster,
    self: participantIndex(index),
    protocol,
    verifier: createChannelVerifier({ clusterId, judge: judgeAt(time), reportDataOf }),
    committees: () => [cluster.config],
    keepFloor,
    warnDays: 7,
    clock: { nowMs: () => time.nowMs, monotonicMs: () => performance.now() },
    rng: { bytes: (length) => Uint8Array.from(randomBytes(length)) },
    events: {
      onAccepted: (peer, _verdict, certificates) => note(peer, certificates === 'same' ? ': yes' : ': yes, other'),
      onRefused: (peer, reason) => note(peer, `: ${reason}`),
      onExpiring: (peer) => note(peer, ' expiring'),
      onKeptByFloor: (peer) => note(peer, ' kept'),
    },
  })
  const member = await openMember(index, started, gate)
  const stop = async (): Promise<void> => {
    gate.stop()
    await proofs.settled()
    await protocol.stop()
    await member.stop()
  }
  return { ...member, stop, gate, protocol, judged, told }
}
