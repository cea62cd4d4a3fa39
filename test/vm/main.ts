import { execFile, spawnSync } from 'node:child_process'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { freePorts } from '@tkms/examples/free-ports'

/**
 * From an empty machine to a serving node, as docs/operations.md has it: an empty home, a fresh clone of what is committed here, Node 20 or
 * later and npm from the system. What takes systemd is done by test/vm/service in its place. It needs root, since it starts nodes as another user.
 */

const execute = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
const OPERATORS = ['alice', 'bob', 'carol'] as const
type Operator = (typeof OPERATORS)[number]
/** Some user that owns nothing here, in place of the one that the procedure would make. */
const USER = 'nobody'
const KEY = 'ecies/machine'
const STEP_TIMEOUT_MS = 600_000
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024

interface Ended {
  readonly stdout: string
  readonly stderr: string
}

function expectThat(holds: boolean, what: string): void {
  if (!holds) throw new Error(what)
}

class Machines {
  readonly #ports: readonly number[]
  readonly #registry: string
  readonly directory: string

  constructor(directory: string, options: { readonly ports: readonly number[]; readonly registry: string }) {
    this.directory = directory
    this.#ports = options.ports
    this.#registry = options.registry
  }

  at(...path: readonly string[]): string {
    return join(this.directory, ...path)
  }

  ports(operator: Operator): readonly [p2p: number, http: number] {
    const at = 2 * OPERATORS.indexOf(operator)
    return [this.#ports[at] ?? 0, this.#ports[at + 1] ?? 0]
  }

  /** The settings of one machine, and nothing else of this one but how it reaches the registry. */
  environment(operator: Operator): NodeJS.ProcessEnv {
    const { NODE_EXTRA_CA_CERTS: authorities } = process.env
    return {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: this.at('home'),
      npm_config_registry: this.#registry,
      ...(authorities !== undefined && { NODE_EXTRA_CA_CERTS: authorities }),
      TKMS_ETC: this.at(operator, 'etc'),
      TKMS_LIB: this.at(operator, 'lib'),
      TKMS_DATA_DIR: this.at(operator, 'data'),
      TKMS_PROGRAM: this.at('opt/tkms'),
      TKMS_USER: USER,
      TKMS_SERVICE: join(root, 'test/vm/service'),
    }
  }

  async run(operator: Operator, program: string, ...args: readonly string[]): Promise<Ended> {
    const env = this.environment(operator)
    const limits = { cwd: this.at('clone'), env, timeout: STEP_TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES }
    try {
      return await execute(program, [...args], limits)
    } catch (cause) {
      const { stderr = '' } = cause as { readonly stderr?: string }
      throw new Error(`${program} ${args.join(' ')} on the machine of ${operator}:\n${stderr.slice(-4000)}`, { cause })
    }
  }

  procedure(operator: Operator, script: string, ...args: readonly string[]): Promise<Ended> {
    return this.run(operator, this.at('clone/deploy/procedures', script), ...args)
  }

  /** A command of the node, as its operator gives it on that machine. */
  kmsNode(operator: Operator, ...args: readonly string[]): Promise<Ended> {
    const program = [this.at('opt/tkms/bin/node'), this.at('opt/tkms/dist/bin/kms-node.js')]
    return this.run(operator, 'runuser', '-u', USER, '--', ...program, ...args, '--data-dir', this.at(operator, 'data'))
  }
}

type Step = readonly [name: string, check: (machines: Machines) => Promise<void>]

/** One of them is in a TDX guest, as far as what is installed. */
const made = (operator: Operator, [p2p, http]: readonly [number, number]): readonly string[] =>
  ['--name', operator, '--host', '127.0.0.1'].concat(
    ['--p2p-port', `${p2p}`, '--http-port', `${http}`],
    operator === 'carol' ? ['--tdx'] : [],
  )

/** What systemd says of the units of that machine, with the places where their programs are here. */
async function judgeUnits(machines: Machines, operator: Operator): Promise<readonly string[]> {
  const units = machines.at(operator, 'units')
  await cp(machines.at(operator, 'etc/systemd/system'), units, { recursive: true })
  for (const name of (await readdir(units)).filter((file) => file.endsWith('.service'))) {
    const text = await readFile(join(units, name), 'utf8')
    const here = text.replaceAll('/opt/tkms/', `${machines.at('opt/tkms')}/`)
    await writeFile(join(units, name), here.replaceAll('/usr/local/lib/tkms/', `${machines.at(operator, 'lib')}/`))
  }
  const unit = join(units, 'kms-node.service')
  const { stdout, stderr } = await machines.run(operator, 'systemd-analyze', 'verify', '--man=no', unit)
  return `${stdout}${stderr}`.split('\n').filter((line) => /kms-node|tkms-report/.test(line))
}

const STEPS: readonly Step[] = [
  [
    'new-node.sh --dry-run says what it would do, and does nothing',
    async (machines) => {
      const options = made('alice', machines.ports('alice'))
      const { stderr } = await machines.procedure('alice', 'new-node.sh', ...options, '--dry-run')
      for (const word of ['installing the program', 'passphrase', 'making the node alice', 'kms-node.service'])
        expectThat(stderr.includes(word), `it says nothing of "${word}": ${stderr}`)
      const there = (await readdir(machines.directory)).toSorted()
      expectThat(there.join(' ') === 'clone home', `there is ${there.join(', ')}`)
    },
  ],
  [
    'new-node.sh installs the program, the unit and a node in production, and prints its card',
    async (machines) => {
      for (const operator of OPERATORS) {
        const options = made(operator, machines.ports(operator))
        const { stdout } = await machines.procedure(operator, 'new-node.sh', ...options)
        const card = JSON.parse(stdout) as { readonly name: string; readonly tlsSpkiSha256?: string }
        expectThat(card.name === operator && card.tlsSpkiSha256 !== undefined, `the card is ${stdout}`)
        const again = await machines.procedure(operator, 'new-node.sh', ...options)
        expectThat(again.stdout === stdout, 'a second run changes the node')
      }
      const { stdout: none } = await machines.procedure('alice', 'new-node.sh', '--machine')
      expectThat(none === '', 'a machine without a node has a card')
      const { mode, uid } = await stat(machines.at('alice/etc/tkms/passphrase'))
      expectThat((mode & 0o777) === 0o400 && uid === 0, 'others read the passphrase')
      const data = await stat(machines.at('alice/data'))
      expectThat((data.mode & 0o777) === 0o700 && data.uid !== 0, 'others enter the data directory')
      const [alice, carol] = await Promise.all(
        (['alice', 'carol'] as const).map((operator) => readFile(machines.at(operator, 'data/node.yaml'), 'utf8')),
      )
      expectThat(alice?.includes('profile: production') === true && !alice.includes('provider: tdx'), `${alice}`)
      expectThat(carol?.includes('provider: tdx') === true, `${carol}`)
    },
  ],
  [
    'the units are what systemd takes, in a TDX guest too',
    async (machines) => {
      if (spawnSync('systemd-analyze', ['--version']).status !== 0) throw new Error('there is no systemd-analyze')
      for (const operator of ['alice', 'carol'] as const) {
        const found = await judgeUnits(machines, operator)
        expectThat(found.length === 0, found.join('\n'))
      }
      const units = await readdir(machines.at('carol/etc/systemd/system'))
      expectThat(units.includes('tkms-report.service'), `there are ${units.join(', ')}`)
    },
  ],
  [
    'the cards become a cluster, which is joined by its config hash only',
    async (machines) => {
      const cards = OPERATORS.map((operator) => machines.at(operator, 'data/card.json'))
      const file = machines.at('cluster.json')
      const program = [machines.at('opt/tkms/bin/node'), machines.at('opt/tkms/dist/bin/kms-node.js')] as const
      const words = ['cluster', 'new', '--threshold', '2', '--out', file, '--json', ...cards]
      const { stdout } = await machines.run('alice', program[0], program[1], ...words)
      const { configHash } = JSON.parse(stdout) as { readonly configHash: string }
      const wrong = `0x${'00'.repeat(32)}`
      const refused = await machines.procedure('alice', 'new-node.sh', '--join', file, '--config-hash', wrong).then(
        () => false,
        () => true,
      )
      expectThat(refused, 'a cluster of another config hash was joined')
      for (const operator of OPERATORS)
        await machines.procedure(operator, 'new-node.sh', '--join', file, '--config-hash', configHash)
    },
  ],
  [
    'the operators make a key',
    async (machines) => {
      const { stdout } = await machines.kmsNode('alice', 'ceremony', 'propose', '--name', KEY, '--json')
      const { ceremony } = JSON.parse(stdout) as { readonly ceremony: string }
      await Promise.all(OPERATORS.slice(1).map((operator) => approve(machines, operator, ceremony)))
    },
  ],
  [
    'check-node.sh finds every node well, and opens what was sealed',
    async (machines) => {
      for (const operator of OPERATORS) {
        const { stderr } = await machines.procedure(operator, 'check-node.sh')
        expectThat(/, 0 failures$/m.test(stderr), stderr)
        expectThat(stderr.includes(`${operator} serves: ${KEY} opened what was sealed for it`), stderr)
      }
    },
  ],
]

/** As soon as the proposal has come to that machine. */
async function approve(machines: Machines, operator: Operator, ceremony: string): Promise<void> {
  const endMs = Date.now() + STEP_TIMEOUT_MS
  for (;;) {
    const { stdout } = await machines.kmsNode(operator, 'ceremony', 'status', '--json')
    if (stdout.includes(ceremony)) break
    if (Date.now() > endMs) throw new Error(`${operator} never heard of ${ceremony}`)
  }
  await machines.kmsNode(operator, 'ceremony', 'approve', ceremony, '--watch')
}

async function main(): Promise<void> {
  const able = process.getuid?.() === 0 && spawnSync('setpriv', ['--version']).status === 0
  const required = process.env['TKMS_REQUIRE_ALL'] === '1'
  if (!able) {
    console.log('empty machine: this needs root and setpriv: nothing was tested')
    console.log(required ? '0 passed, 1 failed' : `0 passed, 0 failed, ${STEPS.length} skipped`)
    process.exitCode = required ? 1 : 0
    return
  }
  const directory = await mkdtemp(join(tmpdir(), 'tkms-machine-'))
  await chmod(directory, 0o755)
  const registry = (await execute('npm', ['config', 'get', 'registry'])).stdout.trim()
  const machines = new Machines(directory, { ports: await freePorts(2 * OPERATORS.length), registry })
  let passed = 0
  let failed = 0
  try {
    await mkdir(machines.at('home'))
    await execute('git', ['clone', '--quiet', '--no-local', root, machines.at('clone')], { timeout: STEP_TIMEOUT_MS })
    for (const [title, check] of STEPS) {
      const startMs = performance.now()
      await check(machines)
      passed += 1
      console.log(`ok      ${title} (${((performance.now() - startMs) / 1000).toFixed(1)} s)`)
    }
  } catch (error) {
    failed = 1
    console.log(`FAILED  ${STEPS[passed]?.[0]}\n${error instanceof Error ? error.message : String(error)}`)
  } finally {
    for (const operator of OPERATORS)
      await execute(join(root, 'test/vm/service'), ['stop'], { env: machines.environment(operator) })
    await rm(directory, { recursive: true, force: true })
  }
  const skipped = STEPS.length - passed - failed
  console.log(`${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`)
  process.exitCode = failed === 0 ? 0 : 1
}

await main()
