// The keyboard's way to description and labels.

/** Actions of the table of shortcuts -> functions. */
export function textActions(editor) {
  return {
    "description-zh": () => editor.refs.descriptionZh.focus(),
    "description-en": () => editor.refs.descriptionEn.focus(),
    labels: () => (editor.language === "zh" ? editor.ovZh : editor.ovEn).input.focus(),
    summarise: () => editor.summarise?.(),
    translate: () => editor.translate?.(),
  };
}
