// A dialog with a small form. The browser's own <dialog> holds the focus, closes by Escape and gives the focus
// back to the button that has opened it.
import { h } from "vue";

export default {
  props: { open: Boolean, opening: Number, form: Object, refusal: String, busy: Boolean },
  emits: ["send", "shut"],
  watch: {
    // After the fields are there, so that a reset gives each its own first value.
    open: { handler: "follow", flush: "post" },
    opening: { handler: "follow", flush: "post" },
  },
  mounted() {
    this.follow();
  },
  methods: {
    follow() {
      const dialog = this.$refs.dialog;
      if (this.open && !dialog.open) {
        this.$refs.form.reset();
        dialog.showModal();
      }
      if (!this.open && dialog.open) dialog.close();
    },
    send(event) {
      event.preventDefault();
      if (!this.busy) this.$emit("send", Object.fromEntries(new FormData(this.$refs.form)));
    },
    field(one) {
      const id = `field-${one.name}`;
      const help = one.help ? h("small", { id: `${id}-help` }, one.help) : null;
      const described = one.help ? { "aria-describedby": `${id}-help` } : {};
      const label = h("label", { for: id }, one.label);
      if (one.options) {
        const options = one.options.map(([value, text]) =>
          h("option", { value, selected: value === one.value }, text),
        );
        return h("div", { class: "field", key: one.name }, [
          label,
          h("select", { id, name: one.name, ...described }, options),
          help,
        ]);
      }
      const rest = { min: one.min, max: one.max, step: one.step, required: one.required, maxlength: one.maxlength };
      const input = h("input", {
        id,
        name: one.name,
        type: one.type ?? "text",
        autocomplete: "off",
        ...described,
        ...rest,
        // The attribute, so that what is typed stays while the page is updated and goes with a reset.
        "^value": one.value ?? "",
      });
      return h("div", { class: "field", key: one.name }, [label, input, help]);
    },
  },
  render() {
    const form = this.form ?? { title: "", fields: [] };
    return h(
      "dialog",
      {
        ref: "dialog",
        class: "dialog",
        "aria-labelledby": "dialog-title",
        onClose: () => this.$emit("shut"),
      },
      [
        h("form", { ref: "form", method: "dialog", onSubmit: this.send }, [
          h("h2", { id: "dialog-title" }, form.title),
          form.intro ? h("p", form.intro) : null,
          ...form.fields.map(this.field),
          h("p", { class: this.refusal ? "refusal" : "unseen", role: "alert" }, this.refusal || ""),
          h("div", { class: "dialog__buttons" }, [
            h(
              "button",
              { type: "button", class: "button", onClick: () => this.$refs.dialog.close() },
              form.back ?? "Back",
            ),
            h(
              "button",
              {
                type: "submit",
                class: form.danger ? "button button--danger button--main" : "button button--main",
                disabled: this.busy,
              },
              this.busy ? "At work …" : form.send,
            ),
          ]),
        ]),
      ],
    );
  },
};
