// Light, dark, or as the system says. The choice is this browser's, and kept there.
import { h } from "vue";

const CHOICES = [
  ["system", "As the system"],
  ["light", "Light"],
  ["dark", "Dark"],
];

export default {
  data: () => ({ chosen: globalThis.bellwireKept?.() ?? "system" }),
  emits: ["scheme"],
  mounted() {
    this.$emit("scheme", globalThis.bellwireScheme());
    this.media = matchMedia("(prefers-color-scheme: dark)");
    this.media.addEventListener("change", this.tell);
  },
  beforeUnmount() {
    this.media.removeEventListener("change", this.tell);
  },
  methods: {
    tell() {
      this.$emit("scheme", globalThis.bellwireScheme());
    },
    choose(event) {
      this.chosen = event.target.value;
      globalThis.bellwireWear(this.chosen);
      this.tell();
    },
  },
  render() {
    return h("span", { class: "choice choice--scheme" }, [
      h("label", { for: "scheme", class: "unseen" }, "Colours"),
      h(
        "select",
        { id: "scheme", value: this.chosen, onChange: this.choose },
        CHOICES.map(([value, text]) => h("option", { key: value, value }, text)),
      ),
    ]);
  },
};
