/** From so long on a task counts as long: a page that computes without a break for longer feels stuck (W3C Long Tasks). */
const LONG_TASK_MS = 50

/**
 * For loops whose steps take milliseconds each: awaited between two of them, it lets everything else run once they have taken
 * 50 ms, and costs next to nothing before.
 */
export function createPauses(): () => Promise<void> {
  let startMs = performance.now()
  return async () => {
    if (performance.now() - startMs < LONG_TASK_MS) return
    await new Promise((resolve) => setTimeout(resolve, 0))
    startMs = performance.now()
  }
}
