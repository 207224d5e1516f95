/** How many bytes of large bodies one process holds at a time, and one caller of them. */

export { BodyBudget } from '../http/body-budget.ts'
