import { existsSync } from 'node:fs'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
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
