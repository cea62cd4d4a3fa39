import type { EngineRules } from '../../packages/dkg/src/ceremony/engine-types.ts'
import { decodeCertificate } from '../../packages/dkg/src/ceremony/certificate.ts'
import { equalBytes } from '../../packages/dkg/src/primitives/codec.ts'
import { participantIndex } from '../../packages/dkg/src/primitives/point.ts'
import { modOrder, openScalar, secretScalar } from '../../packages/dkg/src/primitives/scalar.ts'
import { Secret } from '../../packages/dkg/src/primitives/secret.ts'
import { lagrangeCoefficients } from '../../packages/dkg/src/sharing/lagrange.ts'
import { HonestNode } from './honest-node.ts'
import { Liar } from './liar.ts'
import { BLIND, Observer, type Violation } from './observer.ts'
import { Operators } from './operators.ts'
import type { Scenario } from './scenario.ts'
import { World } from './world.ts'

export interface RunReport {
  readonly seed: number
  readonly violations: readonly Violation[]
  /** Views begun by honest nodes: 1 when the first one ended in a certificate. */
  readonly views: number
  /** Views begun after the network became calm. */
  readonly viewsAfterCalm: number
  readonly ended: 'certified' | 'blocked' | 'stuck' | 'open'
  readonly events: number
  readonly simulatedMs: number
  readonly faults: number
}

/** Views that a ceremony may still need after the network became calm: every faulty node leads one and spoils one, and views find together. */
export const viewBound = (n: number): number => 2 * n + 6
/** More than any run needs that is not talking to itself. */
const MAX_EVENTS = 400_000
/** As long as that many views can last. */
const PATIENCE_MS = 2 * 3_600_000

export function runScenario(
  scenario: Scenario,
  options: { readonly rules?: EngineRules; readonly trace?: (line: string) => void } = {},
): RunReport {
  const world = new World(scenario, options)
  const nodes = new Map<number, HonestNode>()
  const observer = new Observer(world, nodes)
  populate(world, observer, nodes)
  const operators = new Operators(world, observer, [...nodes.values()])
  operators.begin()
  const biggest = Math.max(...scenario.proposals.map(({ next }) => next.members.length))
  const bound = viewBound(biggest)
  const tooManyViews = (): boolean => observer.maxView > observer.viewWhenCalm + (scenario.withinBounds ? bound : 5)
  let ended: RunReport['ended'] = 'open'
  world.run(scenario.calmMs + (scenario.withinBounds ? PATIENCE_MS : 60_000), () => {
    if (world.mayBeOver && operators.areDone) ended = 'certified'
    else if (world.mayBeOver && operators.areBlocked) ended = 'blocked'
    else if (tooManyViews()) ended = 'stuck'
    world.mayBeOver = false
    if (world.events > MAX_EVENTS) ended = 'stuck'
    return ended !== 'open' || observer.violations.length > (world.isControl ? 0 : 3)
  })
  if (ended === 'open') ended = 'stuck'
  if (ended === 'stuck' && scenario.withinBounds) {
    const standings = [...nodes.values()].map(
      (node) =>
        `${node.index}: ${[...node.live.values()].map((live) => `${live.proposal.plan.name} ${live.phase} ${live.view}`).join(', ')}`,
    )
    observer.report('stuck', `no certificate, ${standings.join('; ')}`)
  }
  checkShares(world, observer, nodes)
  return {
    seed: scenario.seed,
    violations: observer.violations,
    views: observer.maxView + 1,
    viewsAfterCalm: observer.maxView - observer.viewWhenCalm,
    ended,
    events: world.events,
    simulatedMs: world.nowMs,
    faults: observer.faults,
  }
}

function populate(world: World, observer: Observer, nodes: Map<number, HonestNode>): void {
  const everybody = new Set(world.proposals.flatMap((proposal) => proposal.everybody))
  for (const index of [...everybody].toSorted((a, b) => a - b)) {
    const habits = world.scenario.faulty.get(index)
    if (habits === undefined) {
      const node = new HonestNode(world, observer, index)
      nodes.set(index, node)
      world.citizens.set(index, node)
    } else if (habits.kind === 'liar') world.citizens.set(index, new Liar(world, index, habits))
    else {
      const node = new HonestNode(world, BLIND, index, habits.kind === 'rolled-back')
      world.citizens.set(index, node)
      for (const { plan } of world.proposals)
        for (const proposal of world.proposals.filter((each) => each.plan === plan))
          if (proposal.everybody.includes(index))
            world.at(world.dice.within(0, 2_000), () => void node.approve(proposal, 'plain'))
      if (habits.kind === 'silent') world.at(habits.diesAtMs, () => node.crash(Number.MAX_SAFE_INTEGER))
      else for (const atMs of habits.atMs) world.at(atMs, () => node.rollBack())
    }
  }
}

/** The shares that honest nodes stored give back the certified key, and a RESHARE keeps it. */
function checkShares(world: World, observer: Observer, nodes: ReadonlyMap<number, HonestNode>): void {
  const { curve } = world.kit
  for (const proposal of world.proposals)
    for (const [outcome, certificate] of observer.ledger(proposal).certificates) {
      const { commitment, t } = decodeCertificate(curve, certificate).outcome
      const [groupKey] = commitment
      if (groupKey === undefined) continue
      if (world.old !== undefined && !equalBytes(world.old.key.groupKey, groupKey))
        observer.report('broken', 'the key changed')
      const held = [...nodes].flatMap(([index, { disk }]) => {
        const share = disk.shares.get(outcome)?.share
        return share === undefined ? [] : [{ index: participantIndex(index), share }]
      })
      const chosen = world.dice.sample(held, t)
      if (chosen.length < t) continue
      const weights = lagrangeCoefficients(chosen.map(({ index }) => index))
      const sum = chosen.reduce(
        (total, { share }, at) => total + (weights[at] ?? 0n) * openScalar(Secret.copyOf(share)),
        0n,
      )
      if (!equalBytes(curve.mulBaseSecret(secretScalar(modOrder(sum))), groupKey))
        observer.report('broken', 'the shares do not give back the certified key')
    }
}
