import { bytesKey, type ClusterNode } from '@tkms/dkg'
import { z } from 'zod'
import type { Clock } from '../../ports.ts'
import { type Finding, findingsOf } from './finding.ts'

/** Requests are refused beyond 60 s (interfaces 2). */
const BAD_SKEW_SECONDS = 30
const WARN_SKEW_SECONDS = 5
const MAX_STATUS_BYTES = 16 * 1024 * 1024

/** What a node says of itself over HTTP, as far as it is compared. */
export interface PeerStatus {
  readonly version: string
  readonly codeHash?: string | undefined
  readonly ed25519: string
  readonly clusterId: string
  readonly profile: string
  readonly sealing: string
  /** Of its own proof; nodes of earlier versions say nothing. */
  readonly attestation?:
    | {
        readonly provider: string
        /** Unix seconds. */
        readonly expires?: number | undefined
        readonly refused?: string | undefined
      }
    | undefined
  /** Unix seconds, rounded down. */
  readonly time: number
  readonly audit: { readonly recording: boolean; readonly problem?: string | undefined }
}

const word = z.string().regex(/^[ -~]{1,64}$/)
const statusSchema: z.ZodType<PeerStatus> = z.looseObject({
  version: z.string().max(64),
  codeHash: z.string().max(66).optional(),
  ed25519: z.string().max(66),
  clusterId: z.string().max(66),
  profile: z.string().max(32),
  sealing: word,
  attestation: z
    .looseObject({ provider: word, expires: z.int().min(0).optional(), refused: word.optional() })
    .optional(),
  time: z.int().min(0),
  audit: z.looseObject({ recording: z.boolean(), problem: z.string().max(64).optional() }),
})

/** An answer, and when by this machine's clock it was made at the earliest and at the latest, in Unix milliseconds. */
export interface PeerAnswer {
  readonly status: PeerStatus
  readonly sentMs: number
  readonly receivedMs: number
}

/** One bounded GET over a connection whose TLS key is the pinned one. @throws KmsError `unreachable`, `bad-reply`; the signal's reason */
export type GetPinned = (request: {
  readonly url: string
  readonly method: 'GET'
  readonly signal: AbortSignal
  readonly maxReplyBytes: number
  readonly tlsSpkiSha256?: Uint8Array
}) => Promise<{ readonly status: number; readonly body: Uint8Array }>

/** @returns the answer, or why there is none: fixed words */
export async function askPeer(
  node: ClusterNode,
  ports: { readonly get: GetPinned; readonly clock: Clock; readonly timeoutMs: number },
): Promise<PeerAnswer | string> {
  const { get, clock } = ports
  const sentMs = clock.nowMs()
  const { tlsSpkiSha256 } = node
  try {
    const reply = await get({
      url: `${node.url.replace(/\/+$/, '')}/v1/status`,
      method: 'GET',
      signal: AbortSignal.timeout(ports.timeoutMs),
      maxReplyBytes: MAX_STATUS_BYTES,
      ...(tlsSpkiSha256 && { tlsSpkiSha256 }),
    })
    const receivedMs = clock.nowMs()
    if (reply.status !== 200) return `answers /v1/status with ${reply.status}`
    const parsed = statusSchema.safeParse(JSON.parse(new TextDecoder().decode(reply.body)))
    return parsed.success ? { status: parsed.data, sentMs, receivedMs } : 'answers /v1/status with something else'
  } catch (cause) {
    if (cause instanceof SyntaxError) return 'answers /v1/status with something else'
    return cause instanceof Error ? cause.message : 'does not answer'
  }
}

/** @returns how far the peer's clock is ahead, in seconds; below 0: behind; 0 where the difference is within what was measured */
export function skewSeconds({ status, sentMs, receivedMs }: PeerAnswer): number {
  const [earliest, latest] = [Math.floor(sentMs / 1000), Math.floor(receivedMs / 1000)]
  if (status.time > latest) return status.time - latest
  return status.time < earliest ? status.time - earliest : 0
}

/** What the answer of a node tells: that it is the one the cluster file names, its clock, its audit log. */
export function judgeAnswer(
  node: ClusterNode,
  answer: PeerAnswer,
  expected: { readonly clusterId: string },
): readonly Finding[] {
  const { status } = answer
  const identity = findingsOf('identity', node.name)
  const clock = findingsOf('clock', node.name)
  const audit = findingsOf('audit', node.name)
  const isItself = status.ed25519 === `0x${bytesKey(node.publicKey)}` && status.clusterId === expected.clusterId
  const skew = skewSeconds(answer)
  const far = `its clock is ${Math.abs(skew)} s ${skew > 0 ? 'ahead of' : 'behind'} this machine's`
  const mend = 'let time synchronisation run on both machines; beyond 60 s requests are refused'
  return [
    isItself
      ? identity.ok('is the node that the cluster file names')
      : identity.fail(
          'another node answers at this address',
          'compare the url of its entry in the cluster file with its node.yaml',
        ),
    Math.abs(skew) > BAD_SKEW_SECONDS
      ? clock.fail(far, mend)
      : Math.abs(skew) > WARN_SKEW_SECONDS
        ? clock.warn(far, mend)
        : clock.ok('agrees with this machine'),
    status.audit.recording
      ? audit.ok('records releases')
      : audit.fail(
          `cannot record releases: ${status.audit.problem ?? 'unknown'}`,
          'its operator makes room on its disk; its log names the error',
        ),
  ]
}

/** Compares what runs where: the version that most nodes have, and among several the first, is the one of the cluster. */
export function judgeVersions(
  answers: readonly { readonly node: ClusterNode; readonly answer: PeerAnswer }[],
): readonly Finding[] {
  const nameOf = ({ answer: { status } }: { readonly answer: PeerAnswer }): string =>
    `${status.version}${status.codeHash === undefined ? '' : ` (${status.codeHash.slice(0, 10)})`}`
  const counts = new Map<string, number>()
  for (const one of answers) counts.set(nameOf(one), (counts.get(nameOf(one)) ?? 0) + 1)
  const [usual] = [...counts].toSorted(([, left], [, right]) => right - left)
  return answers.map((one) => {
    const finding = findingsOf('version', one.node.name)
    const name = nameOf(one)
    return name === usual?.[0]
      ? finding.ok(name)
      : finding.warn(`runs ${name}, most others ${usual?.[0] ?? ''}`, 'bring all nodes to one version')
  })
}
