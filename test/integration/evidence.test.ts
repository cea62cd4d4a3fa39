import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PROGRAMS } from '@tkms/examples/programs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { configHash } from '../../packages/dkg/src/ceremony/config.ts'
import { formatCluster } from '../../packages/dkg/src/cluster.ts'
import { encodeEvidence } from '../../packages/dkg/src/ceremony/evidence.ts'
import { writeEvidence } from '../../packages/kms-node/src/ceremony/evidence-files.ts'
import { dealBadShare } from '../support/adversaries.ts'
import { CraftedView, otherConstant } from '../support/crafted-view.ts'
import { RepairBench } from '../support/repair-bench.ts'
import { repairCase, spoilContribution } from '../support/repair-case.ts'
import { bytesOf, type Identity, simulatedCommittee } from '../support/simulated-committee.ts'
import { reshareOf, sharingOf } from '../support/simulated-reshare.ts'
import { simulate } from '../support/simulation.ts'

/** `kms-node evidence verify`, as operators run it: a process, an evidence file, a cluster file, nothing else. */

const MAIN = PROGRAMS['kms-node']
const committee = simulatedCommittee({ n: 4, t: 2, seed: 1, signatures: 'ed25519' })
const everyone = simulatedCommittee({ n: 5, t: 2, seed: 1, signatures: 'ed25519' })

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-evidence-'))
  const other = simulatedCommittee({ n: 4, t: 2, seed: 2, signatures: 'ed25519' })
  await writeCluster('cluster.json', committee.identities, [])
  await writeCluster('other.json', other.identities, [], other)
})
afterAll(() => rm(directory, { recursive: true, force: true }))

async function writeCluster(
  name: string,
  identities: readonly Identity[],
  certificates: readonly Uint8Array[],
  { spec } = committee,
): Promise<void> {
  const nodes = identities.map(({ index, publicKey }) => ({
    index,
    name: `node-${index}`,
    publicKey,
    multiaddrs: [],
    url: `http://127.0.0.1:${8000 + index}`,
  }))
  const config = spec.newConfig
  const cluster = formatCluster({ config, configHash: configHash(config), nodes, certificates })
  await writeFile(join(directory, name), JSON.stringify(cluster))
}

function verify(...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, 'evidence', 'verify', ...args], { cwd: directory }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr })
    })
  })
}

/** The evidence that an honest node of a simulated ceremony wrote. */
async function badShareEvidence(): Promise<string> {
  const tamper = new Map([[3, dealBadShare(committee, 3, 2)]])
  const [fault] = simulate({ committee, seed: 4, tamper }).get(1 as never)?.faults ?? []
  if (fault === undefined) throw new Error('node 1 saw the fault')
  return writeEvidence(directory, bytesOf('ceremony') as never, fault as never)
}

test('row 12: evidence of a bad share names the node from either file, and says what to do', async () => {
  const json = await badShareEvidence()
  const files = await readdir(directory)
  expect(files.filter((file) => file.endsWith('-E3-3.bin'))).toHaveLength(1)
  for (const file of [json, json.replace(/\.json$/, '.bin')]) {
    const text = await verify(file, '--cluster', 'cluster.json')
    expect([text.code, text.stderr]).toEqual([0, ''])
    expect(text.stdout).toContain('proven E3: node 3 (node-3) dealt a bad share to another node')
    expect(text.stdout).toContain('reshare every key to a committee without it')
    const result = await verify(file, '--cluster', 'cluster.json', '--json')
    expect(result.code).toBe(0)
    expect(JSON.parse(result.stdout)).toMatchObject({ proven: true, index: 3, name: 'node-3', kind: 'E3' })
  }
})

test('evidence that was changed, is of another cluster or is none, and bare accusations are refused', async () => {
  const json = await badShareEvidence()
  const bin = json.replace(/\.json$/, '.bin')
  const elsewhere = await verify(bin, '--cluster', 'other.json', '--json')
  expect([elsewhere.code, JSON.parse(elsewhere.stdout)]).toMatchObject([1, { error: { code: 'evidence-not-proven' } }])
  const changed = await readFile(bin)
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1
  await writeFile(join(directory, 'changed.bin'), changed)
  const spoiled = await verify('changed.bin', '--cluster', 'cluster.json')
  expect(spoiled.code).toBe(1)
  expect(spoiled.stderr).toContain('proves nothing')
  const { evidence: _evidence, ...accusation } = JSON.parse(await readFile(json, 'utf8')) as Record<string, unknown>
  await writeFile(join(directory, 'alleged.json'), JSON.stringify(accusation))
  await writeFile(join(directory, 'outside.json'), JSON.stringify({ ...accusation, evidence: '../secret.bin' }))
  for (const [file, problem] of [
    ['alleged.json', 'one word against another'],
    ['outside.json', 'elsewhere'],
    ['cluster.json', 'one word against another'],
    ['nowhere.bin', 'does not exist'],
  ] as const) {
    const refused = await verify(file, '--cluster', 'cluster.json')
    expect([refused.code, refused.stdout]).toEqual([1, ''])
    expect(refused.stderr).toContain(problem)
  }
  expect((await verify('--cluster', 'cluster.json')).code).toBe(2)
})

test('row 25: evidence about a later epoch is verified by the certificates in the cluster file', async () => {
  const genesis = sharingOf(committee, simulate({ committee, seed: 1 }))
  const members = everyone.identities.filter(({ index }) => index !== 1)
  const next = reshareOf(genesis, { members, t: 2 })
  const second = sharingOf(next, simulate({ committee: next, seed: 2, oldShares: genesis.shares }))
  const third = reshareOf(second, { members, t: 2 })
  const view = new CraftedView(third, 0)
  const constantOf = (index: number) => (index === 5 ? otherConstant('s + 1') : second.shares.get(index))
  const joinset = view.joinsetOfAll(constantOf)
  const messages = [joinset, view.deal(5, joinset, constantOf(5))]
  await writeFile(join(directory, 'later.bin'), encodeEvidence('E1', third.spec, messages, second.certificate))
  await writeCluster('old.json', committee.identities, [genesis.certificate])
  await writeCluster('none.json', committee.identities, [])
  await writeCluster('new.json', everyone.identities, [genesis.certificate, second.certificate])
  const proven = await verify('later.bin', '--cluster', 'new.json')
  expect(proven.stdout).toContain('node 5 (node-5) sent a malformed or inconsistent dealing')
  expect(proven.code).toBe(0)
  const former = await verify('later.bin', '--cluster', 'old.json')
  expect(former.stdout).toContain('node 5 (no longer in the cluster file)')
  const unknown = await verify('later.bin', '--cluster', 'none.json')
  expect(unknown.code).toBe(1)
  expect(unknown.stderr).toContain('take a newer cluster file')
})

test('row 33: evidence of a wrong contribution to a repair', async () => {
  const repair = repairCase(4, 2, 71, 'ed25519')
  const [helper, , , recoverer] = repair.identities.map(({ index }) => index)
  if (helper === undefined || recoverer === undefined) throw new Error('n = 4')
  const bench = new RepairBench(repair, { recoverer, tamper: spoilContribution(repair, helper) }).run()
  const fault = bench.faults.find(({ at }) => at === recoverer)?.fault
  if (fault === undefined) throw new Error('r saw the fault')
  const file = await writeEvidence(directory, bytesOf('repair') as never, fault as never)
  const spec = { ...committee.spec, newConfig: repair.sharing.config }
  await writeCluster('repair.json', repair.identities, [], { ...committee, spec })
  const proven = await verify(file, '--cluster', 'repair.json')
  expect(proven.stdout).toContain(`proven E7: node ${helper} (node-${helper}) contributed wrongly to a repair`)
})
