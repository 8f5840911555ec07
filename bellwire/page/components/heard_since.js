// When the shown values were true, and a loud word when nothing comes any more. Also keeps the difference between
// this computer's clock and the server's, by which all ages are told.
import { h } from "vue";

const SILENT_S = 6;

export default {
  props: { at: Number, server: Number },
  data: () => ({ age: 0, silent: false }),
  mounted() {
    this.meet();
    this.timer = setInterval(this.look, 1000);
  },
  beforeUnmount() {
    clearInterval(this.timer);
  },
  watch: {
    server() {
      this.meet();
    },
  },
  methods: {
    meet() {
      // A message is late, never early: the smallest difference of late is the nearest to the truth.
      this.seen = [...(this.seen ?? []), Date.now() - this.server].slice(-20);
      globalThis.bellwireSkewMs = Math.min(...this.seen);
      this.look();
    },
    look() {
      this.age = Math.max(0, (Date.now() - globalThis.bellwireSkewMs - this.at) / 1000);
      this.silent = this.age > SILENT_S;
      document.documentElement.dataset.silent = this.silent;
    },
  },
  render() {
    const said = this.silent ? `${Math.round(this.age)} s old` : "live";
    return h("span", { class: this.silent ? "heard heard--silent" : "heard" }, [
      h("span", { class: "heard__dot", "aria-hidden": "true" }),
      h("span", said),
      h(
        "span",
        { class: "unseen", role: "status", "aria-live": "polite" },
        this.silent ? "Nothing has come from the server for a while: all values are old." : "",
      ),
    ]);
  },
};
