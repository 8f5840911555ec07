// A table whose values go on ageing in the browser: whatever has a time shows its age, and looks stale when it
// is older than it may be, also when the server says nothing any more. Rows keep their keys, so that focus and
// the place of a screen reader survive every update.
import { h } from "vue";

const SIGNS = { good: "✓", busy: "…", warn: "!", bad: "×", off: "–" };
const UNITS = [
  [100, 1, "s"],
  [6000, 60, "min"],
  [259200, 3600, "h"],
  [Infinity, 86400, "d"],
];

function lengthText(seconds) {
  const [, size, unit] = UNITS.find(([limit]) => seconds < limit);
  return `${Math.max(0, Math.round(seconds / size))} ${unit}`;
}

function ageText(seconds) {
  return seconds < -0.5 ? `in ${lengthText(-seconds)}` : `${lengthText(seconds)} ago`;
}

function mark(tone) {
  return h("span", { class: `mark mark--${tone}`, "aria-hidden": "true" }, SIGNS[tone]);
}

export function now() {
  return Date.now() - (globalThis.bellwireSkewMs ?? 0);
}

function value(cell, at) {
  if (cell.text === null) return h("span", { class: "unknown" }, "not known");
  const age = cell.at === undefined ? null : (at - cell.at) / 1000;
  const stale = cell.suspect || (age !== null && cell.good_for !== undefined && age > cell.good_for);
  const parts = [cell.text];
  if (age !== null && (cell.with_age || stale)) {
    const said = ageText(age);
    parts.push(h("span", { class: "age" }, cell.text ? ` ${said}` : said));
  }
  if (stale) parts.push(h("span", { class: "stale-word" }, " stale"));
  const shown = h("span", { class: stale ? "value stale" : "value" }, parts);
  if (!cell.tone) return shown;
  return h("span", { class: `tone tone--${stale ? "off" : cell.tone}` }, [mark(stale ? "off" : cell.tone), shown]);
}

function line(points) {
  const known = points.filter((one) => one !== null);
  if (known.length < 2) return h("span", { class: "unknown" }, "–");
  const top = Math.max(...known) || 1;
  const path = [];
  points.forEach((one, index) => {
    if (one === null) return;
    const x = (100 * index) / (points.length - 1);
    const y = 22 - (20 * one) / top;
    path.push(`${path.length && points[index - 1] !== null ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`);
  });
  return h(
    "svg",
    { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
    [h("path", { d: path.join("") })],
  );
}

function content(cell, at) {
  if (cell === undefined) return "";
  if (cell.line) return line(cell.line);
  if (cell.list) return h("ul", { class: "values" }, cell.list.map((one) => h("li", [value(one, at)])));
  const parts = [value(cell, at)];
  if (cell.title) parts.push(h("small", cell.title));
  return parts;
}

function classOf(name, cell) {
  return cell?.text === "" && cell.at === undefined ? `cell cell--${name} cell--void` : `cell cell--${name}`;
}

export default {
  props: { caption: String, columns: Array, rows: Array, empty: String, orders: Boolean, quiet: Boolean },
  emits: ["order"],
  data: () => ({ at: now(), wide: false }),
  mounted() {
    this.timer = setInterval(() => (this.at = now()), 1000);
    this.measure();
  },
  updated() {
    this.measure();
  },
  beforeUnmount() {
    clearInterval(this.timer);
  },
  watch: {
    rows() {
      this.at = now();
    },
  },
  methods: {
    // A table that is wider than its place is reached by the keyboard, so that it can be scrolled; others are not.
    measure() {
      const frame = this.$refs.frame;
      this.wide = Boolean(frame) && frame.scrollWidth > frame.clientWidth;
    },
    order(row, one) {
      this.$emit("order", { order: one.do, of: row.key });
    },
    cells(row) {
      const cells = this.columns.map(([name, label], index) =>
        h(
          index === 0 ? "th" : "td",
          { key: name, class: classOf(name, row.cells[name]), "data-label": label, ...(index === 0 ? { scope: "row" } : {}) },
          content(row.cells[name], this.at),
        ),
      );
      if (!this.orders) return cells;
      const buttons = row.orders.map((one) =>
        h(
          "button",
          {
            key: one.do,
            type: "button",
            class: one.danger ? "button button--danger" : "button",
            "aria-label": one.spoken,
            onClick: () => this.order(row, one),
          },
          one.label,
        ),
      );
      return [...cells, h("td", { key: "orders", class: "cell cell--orders" }, buttons)];
    },
  },
  render() {
    if (!this.rows.length) return this.empty ? h("p", { class: "empty" }, this.empty) : h("span");
    const heads = this.columns.map(([name, label]) =>
      h("th", { key: name, scope: "col", class: `cell cell--${name}` }, label),
    );
    if (this.orders) heads.push(h("th", { key: "orders", scope: "col" }, h("span", { class: "unseen" }, "Orders")));
    const reached = this.wide ? { role: "group", "aria-label": `${this.caption}, scrolls`, tabindex: "0" } : {};
    return h("div", { ref: "frame", class: "table-frame", ...reached }, [
      h("table", { class: this.quiet ? "table table--quiet" : "table" }, [
        h("caption", { class: "unseen" }, this.caption),
        h("thead", h("tr", heads)),
        h(
          "tbody",
          this.rows.map((row) =>
            h("tr", { key: row.key, class: row.tone ? `entry entry--${row.tone}` : "entry" }, this.cells(row)),
          ),
        ),
      ]),
    ]);
  },
};
