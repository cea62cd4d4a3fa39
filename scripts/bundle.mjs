// Bundles the programs from the compiled packages: one file to find and read instead of 600, so that a command starts in a third of the time.
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import { rolldown } from 'rolldown'

const root = join(import.meta.dirname, '..')

/** What each package's programs are made of, below its `dist`; they come to lie in `dist/bin`. */
const PROGRAMS = {
  'kms-node': {
    'kms-node': 'main.js',
    'kms-combiner': 'combiner/main.js',
    'engine-main': 'ceremony/engine-main.js',
    'compute-worker': 'serve/workers/worker-main.js',
  },
  'kms-client': { tkms: 'cli/main.js' },
}

/** Stays a package of its own: it finds its binary relative to itself. */
const NATIVE = '@tkms/curve-native/libsecp256k1'

function newestMs(path) {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(
    0,
    ...readdirSync(path)
      .filter((name) => !name.startsWith('bin') && name !== 'node_modules')
      .map((name) => newestMs(join(path, name))),
  )
}

const packages = readdirSync(join(root, 'packages')).map((name) => join(root, 'packages', name, 'dist'))
const read = [...packages, join(root, 'proto'), join(root, 'pnpm-lock.yaml'), import.meta.filename]
const changedMs = Math.max(...read.filter((path) => existsSync(path)).map(newestMs))

for (const [name, programs] of Object.entries(PROGRAMS)) {
  const dist = join(root, 'packages', name, 'dist')
  const out = join(dist, 'bin')
  const outputs = Object.keys(programs).map((program) => join(out, `${program}.js`))
  if (outputs.every((path) => existsSync(path) && statSync(path).mtimeMs > changedMs)) continue
  const made = `${out}.new`
  const old = `${out}.old`
  for (const left of [made, old]) rmSync(left, { recursive: true, force: true })
  for (const [program, entry] of Object.entries(programs)) await bundleProgram(join(dist, entry), made, program)
  // Programs may be running, or be started, while they are made anew.
  if (existsSync(out)) renameSync(out, old)
  renameSync(made, out)
  rmSync(old, { recursive: true, force: true })
}

/** Each program by itself: code that two of them share never comes to lie in the file of one that starts it. */
async function bundleProgram(entry, out, program) {
  const bundle = await rolldown({
    input: { [program]: entry },
    platform: 'node',
    external: [NATIVE],
    onLog(level, log, print) {
      if (level === 'warn') throw new Error(`bundling ${program}: ${log.message}`)
      print(level, log)
    },
  })
  const { output } = await bundle.write({ dir: out, format: 'esm', comments: { legal: true } })
  const own = new Set(output.map(({ fileName }) => fileName))
  const outside = output
    .flatMap((chunk) => (chunk.type === 'chunk' ? [...chunk.imports, ...chunk.dynamicImports] : []))
    .filter((from) => !own.has(from) && !isBuiltin(from) && from !== NATIVE)
  if (outside.length > 0) throw new Error(`bundling ${program}: left outside: ${outside.join(', ')}`)
  await bundle.close()
}
