import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { deploymentText } from '../support/deployment-files.ts'
import { createProcedureMachine, type ProcedureMachine } from '../support/procedure-machine.ts'
import { finished, procedurePath } from '../support/services.ts'

/** What comes from others, or from a run that ended in the middle, and reaches a procedure that root runs. */

let machine: ProcedureMachine
const at = (path: string): string => join(machine.directory, path)
const held = (...names: readonly string[]): object => ({
  prints: names.map((keyName) => ({ keyName, generation: 1, role: 'active' })),
})

beforeEach(async () => {
  machine = await createProcedureMachine('alice')
  const nodes = ['alice', 'bob', 'erin'].map((name) => ({ name, url: 'http://127.0.0.1:1' }))
  await writeFile(at('data/cluster.json'), JSON.stringify({ nodes }))
})
afterEach(() => machine.dispose())

describe('the card of a node that joins', () => {
  const hostile = {
    'a program': () => `x") || globalThis.require("node:fs").writeFileSync("${at('ran')}","") || ("`,
    'a way elsewhere': () => '/../../victim/x',
  }
  test.each(Object.entries(hostile))(
    'is refused where its name is %s, and nothing is run or removed',
    async (_what, name) => {
      await mkdir(at('victim'))
      await mkdir(at('cluster-with-'))
      await writeFile(at('victim/x.json'), 'kept')
      await machine.answer({ 'keys --json': [held('ecies/one')] })
      await writeFile(at('card.json'), JSON.stringify({ name: name() }))
      const { code, stderr } = await machine.run(
        'replace-node.sh',
        '--remove',
        'erin',
        '--add',
        at('card.json'),
        '--yes',
      )
      expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('no name of a node') })
      expect(existsSync(at('ran'))).toBe(false)
      expect(await readdir(at('victim'))).toEqual(['x.json'])
      expect((await machine.commands()).filter((line) => !line.startsWith('keys --json'))).toEqual([])
    },
  )
})

test('a name is what node.yaml takes as one', async () => {
  const names = [
    'harry',
    'a',
    'A1._-',
    'a'.repeat(64),
    '',
    '-a',
    '.',
    '..',
    'a/b',
    'a b',
    'a\nb',
    '$(id)',
    'ä',
    'a'.repeat(65),
  ]
  const script = `source "$1"; shift; for name; do (require_name it "$name" 2>/dev/null) && echo yes || echo no; done`
  const { stdout } = await finished('bash', ['-c', script, 'bash', procedurePath('lib.sh'), ...names], process.env)
  expect(stdout.trim().split('\n')).toEqual(names.map((_name, index) => (index < 4 ? 'yes' : 'no')))
})

test('the names of a cluster file become no command', async () => {
  await writeFile(
    at('foreign.json'),
    JSON.stringify({ nodes: [{ name: '-oProxyCommand=id', url: 'http://127.0.0.1:1' }] }),
  )
  const { code, stderr } = await machine.run('in-turn.sh', at('foreign.json'), 'touch', at('ran'))
  expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('no name of a node') })
  expect(existsSync(at('ran'))).toBe(false)
})

test('the key that is destroyed is a word, not a program', async () => {
  const key = `x" || globalThis.require("node:fs").writeFileSync("${at('ran')}","") || "`
  await machine.answer({
    'keys destroy': [{ prints: [] }],
    'keys --json': [{ prints: [{ keyName: 'ecies/one', generation: 1, keyId: '0x01' }] }],
  })
  const { code, stderr } = await machine.run('respond.sh', 'destroy', key, '1', '--yes')
  expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('knows no generation 1') })
  expect(existsSync(at('ran'))).toBe(false)
})

test('every expression that a procedure evaluates is written out in it', async () => {
  const scripts = (await readdir(join(import.meta.dirname, '../../deploy/procedures'))).filter((name) =>
    name.endsWith('.sh'),
  )
  const calls = scripts.flatMap((name) =>
    [...deploymentText(`deploy/procedures/${name}`).matchAll(/(?:[(|{;]|^) *value ([^\n]*)/gm)].map(
      ([, rest = '']) => rest,
    ),
  )
  expect(calls.length).toBeGreaterThan(8)
  expect(calls.filter((rest) => !/^(?:'[^']*'|it(?:\.[A-Za-z]+)+)[ )<\n]|^'[^']*'$/.test(rest))).toEqual([])
})

describe('replace-node.sh that is run again', () => {
  const refused = {
    prints: { error: { code: 'unknown-node', message: 'no member of this key is called erin' } },
    code: 1,
  }

  test('leaves out the keys that the node left already', async () => {
    await machine.answer({
      'keys --json': [held('ecies/one', 'ecies/two')],
      'ceremony propose --reshare ecies/one': [refused],
      'ceremony propose --reshare ecies/two': [{ prints: { ceremony: '0x02' } }],
    })
    const { code, stderr } = await machine.run('replace-node.sh', '--remove', 'erin', '--yes')
    expect({ code, stderr }).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('ecies/two generation 1: complete'),
    })
    expect(await machine.commands()).toContainEqual(expect.stringContaining('ceremony watch 0x02'))
  })

  test.each([
    ['another refusal', 'erin', 'attempt-open: finish it'],
    ['a name that the cluster does not know', 'eirn', 'names no node eirn'],
  ])('ends at %s', async (_what, remove, said) => {
    const open = { prints: { error: { code: 'attempt-open', message: 'attempt-open: finish it' } }, code: 1 }
    await machine.answer({ 'keys --json': [held('ecies/one', 'ecies/two')], 'ceremony propose': [open] })
    const { code, stderr } = await machine.run('replace-node.sh', '--remove', remove, '--yes')
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining(said) })
    expect((await machine.commands()).join()).not.toContain('ecies/two')
  })
})

test('drill.sh backup erases the older backups of its own node, and of no other', async () => {
  const others = ['alice-2-20250101T000000Z.backup', 'alice-before.backup', 'alice-20250101T000000Z.backup.backup']
  await mkdir(at('backups'))
  for (const name of [...others, 'alice-20250101T000000Z.backup']) await writeFile(at(`backups/${name}`), name)
  await machine.answer({ backup: [{ writes: { '--to': 'a new one' } }] })
  const { code, stdout, stderr } = await machine.run('drill.sh', 'backup', at('backups'), 'age1recipient', '--yes')
  expect({ code, stderr }).toMatchObject({ code: 0 })
  const kept = await readdir(at('backups'))
  expect(kept.toSorted()).toEqual([...others, basename(stdout.trim())].toSorted())
})

describe('restore-node.sh', () => {
  const restore = (...words: readonly string[]): ReturnType<ProcedureMachine['run']> =>
    machine.run('restore-node.sh', '--from', at('a.backup'), '--identity', at('operator.key'), ...words)
  const done = {
    prints: { auditRecords: 3, outdated: [{ keyName: 'ecies/one' }, { keyName: 'ecies/two' }] },
    writes: { 'data/card.json': '{"name":"alice"}', 'data/cluster.json': '{"nodes":[]}' },
  }
  const failed = { prints: { error: { code: 'audit-io', message: 'the disk is full' } }, code: 1 }

  test('changes nothing before everything was answered', async () => {
    await rm(at('data'), { recursive: true })
    await machine.answer({ restore: [done] })
    expect(await restore()).toMatchObject({ code: 1, stderr: expect.stringContaining('give --yes') })
    expect(await restore('--audit', at('none'))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('cannot be read'),
    })
    expect(await machine.commands()).toEqual([])
    expect(await readdir(machine.directory)).not.toContain('data')
  })

  test('goes on where it ended, and does nothing twice', async () => {
    await rm(at('data'), { recursive: true })
    await machine.answer({
      restore: [done],
      'audit accept-loss --confirm 3': [failed, {}],
      'service is-active': [{ code: 1 }, {}],
      'repair ecies/two': [{ code: 1 }, {}],
    })
    expect(await restore('--yes')).toMatchObject({ code: 1, stderr: expect.stringContaining('the disk is full') })
    expect(await restore('--yes')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('ecies/two was not repaired'),
    })
    const before = await machine.commands()
    expect(before.filter((line) => line.startsWith('restore '))).toHaveLength(1)
    expect(before.filter((line) => line === 'service start')).toHaveLength(1)
    expect(await restore('--yes')).toMatchObject({ code: 1, stderr: expect.stringContaining('alice is not ready') })
    const after = (await machine.commands()).map((line) => line.split(' ').slice(0, 2).join(' '))
    expect(after.filter((line) => /^(?:restore|audit|repair|service start)/.test(line))).toEqual(['repair ecies/two'])
  })
})

test('upgrade.sh says what to do where neither version comes up', async () => {
  await writeFile(at('data/cluster.json'), JSON.stringify({ nodes: [{ name: 'alice', url: 'http://127.0.0.1:1' }] }))
  await cp(at('release-1'), at('release-2'), { recursive: true })
  await machine.answer({
    'keys --json': [{ prints: [] }],
    'service start': [{ code: 1 }],
    '--version': [{ prints: 2 }],
  })
  const { code, stderr } = await machine.run('upgrade.sh', '--to', at('release-2'), '--yes')
  expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('alice IS DOWN') })
  expect(stderr).toContain('a backup is then the only way back')
  expect(stderr).toContain(`ln -sfn ${at('release-2')} ${at('program')}`)
  expect(stderr).toContain('restore-node.sh with the backup from before')
})
