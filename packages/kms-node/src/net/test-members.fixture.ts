import { type ParticipantIndex, participantIndex } from '@tkms/dkg'
import type { CeremonyFrame } from './ceremony-frame.ts'
import { type CeremonyNetwork, createCeremonyNetwork } from './ceremony-protocol.ts'
import type { PeerGate } from './peer-gate.ts'
import { startTestHost, TEST_LIMITS, type TestHost } from './test-hosts.fixture.ts'

/** A started host with a ceremony network, and what it has seen. */
export interface Member extends TestHost {
  readonly self: ParticipantIndex
  readonly network: CeremonyNetwork
  readonly received: { readonly from: number; readonly frame: CeremonyFrame }[]
  readonly refused: string[]
  /** Resolves once a condition over what was received or refused holds. */
  until(condition: () => boolean): Promise<void>
  stop(): Promise<void>
}

/** Member `index` of the test cluster, which knows the addresses given so far; the first `known` nodes are its roster. */
export async function startMember(
  index: number,
  addresses: readonly (readonly string[])[] = [],
  known?: number,
): Promise<Member> {
  return openMember(index, await startTestHost(index, addresses, TEST_LIMITS, known))
}

/** Member `index` on a host that is there, which asks what `gate` asks. */
export async function openMember(index: number, member: TestHost, gate?: PeerGate): Promise<Member> {
  const received: Member['received'] = []
  const refused: string[] = []
  const waiting = new Set<() => void>()
  const changed = (): void => {
    for (const check of waiting) check()
  }
  const network = createCeremonyNetwork({
    host: member.host,
    roster: member.roster,
    limits: TEST_LIMITS,
    ...(gate && { gate }),
    events: {
      onPeer: changed,
      onRefused: (reason) => {
        refused.push(reason)
        changed()
      },
    },
  })
  await network.start({
    onFrame: (from, frame) => {
      received.push({ from, frame })
      changed()
    },
    onPeerConnected: changed,
  })
  const until = (condition: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => {
        if (!condition()) return
        waiting.delete(check)
        resolve()
      }
      waiting.add(check)
      check()
    })
  const stop = async (): Promise<void> => {
    await network.stop()
    await member.host.stop()
  }
  return { ...member, self: participantIndex(index), network, received, refused, until, stop }
}
