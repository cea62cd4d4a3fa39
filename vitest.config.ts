import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { ClosingLineReporter } from './scripts/vitest-reporter.ts'

const shared = {
  retry: 0,
  passWithNoTests: false,
  allowOnly: false,
  unstubEnvs: true,
  unstubGlobals: true,
  restoreMocks: true,
}

/** Tests that cross packages; many start programs of ours, which load faster from compiled code kept in the clone's own folder. */
const crossing = {
  ...shared,
  globalSetup: ['test/support/announce-vectors.ts'],
  env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules/.cache/compile') },
  testTimeout: 60_000,
  hookTimeout: 60_000,
}
const elsewhere = ['test/docker/**', 'test/browser/**', '**/node_modules/**']
const slow = 'test/**/*.slow.test.ts'

export default defineConfig({
  test: {
    maxWorkers: 2,
    reporters: ['default', new ClosingLineReporter()],
    projects: [
      {
        test: {
          ...shared,
          name: 'unit',
          // The files of a worker share its modules, which loads and compiles each of them once and not once per file.
          isolate: false,
          include: ['packages/*/src/**/*.test.ts', 'bench/*.test.ts'],
          testTimeout: 20_000,
        },
      },
      { test: { ...crossing, name: 'cross', include: ['test/**/*.test.ts'], exclude: [slow, ...elsewhere] } },
      { test: { ...crossing, name: 'slow', include: [slow], exclude: elsewhere } },
    ],
  },
})
