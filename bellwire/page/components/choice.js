// A labelled list of choices: the browser's own.
import { h } from "vue";

export default {
  props: { label: String, options: Array, chosen: String, name: String },
  emits: ["choose"],
  render() {
    const id = `choice-${this.name}`;
    return h("span", { class: "choice" }, [
      h("label", { for: id }, this.label),
      h(
        "select",
        { id, value: this.chosen, onChange: (event) => this.$emit("choose", event.target.value) },
        this.options.map(([value, text]) => h("option", { key: value, value }, text)),
      ),
    ]);
  },
};
