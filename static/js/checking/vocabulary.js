// The corpus' words for emotions, asked for once per page: searching them in either language, and their pairs.

import { api } from "../api.js";

const GROUPS = 4;
const WORDS = 4; // of a group

export class Vocabulary {
  constructor(url) {
    this.url = url;
    this.groups = [];
    this.loading = null;
  }

  /** Fetch it, once; without it every word can still be typed. */
  load() {
    this.loading ??= api("GET", this.url).then(
      ({ data }) => (this.groups = data.groups),
      () => (this.loading = null), // asked again at the next word
    );
    return this.loading;
  }

  /**
   * Groups of words in `language` for what was typed so far, `[{title, words: [{word, count}]}]`: where a word of the
   * group, in either language, begins with it, then where one contains it. Without `typed`, what is used most.
   */
  search(typed, language, without = []) {
    const wanted = typed.trim().toLowerCase();
    const taken = new Set(without.map((word) => word.toLowerCase()));
    const other = language === "zh" ? "en" : "zh";
    const found = [];
    this.groups.forEach((group, order) => {
      const own = group[language].filter(({ word }) => !taken.has(word));
      if (!own.length) return;
      const rank = (words) => Math.min(...words.map(({ word }) => (word === wanted ? 0 : word.startsWith(wanted) ? 1 : word.includes(wanted) ? 2 : 9)), 9);
      const best = wanted ? Math.min(rank(own), rank(group[other]) + 0.5) : own[0].count ? 0 : 9;
      if (best >= 9) return;
      const hits = own.filter(({ word }) => word.includes(wanted));
      const words = [...hits.filter(({ word }) => word.startsWith(wanted)), ...hits.filter(({ word }) => !word.startsWith(wanted)), ...own.filter((item) => !hits.includes(item))];
      found.push({ best, order, title: group[other][0]?.word || "", words: words.slice(0, WORDS) });
    });
    found.sort((a, b) => a.best - b.best || a.order - b.order);
    return found.slice(0, GROUPS);
  }

  /** The group of a word, or null. */
  groupOf(word) {
    const wanted = word.toLowerCase();
    return this.groups.find((group) => ["zh", "en"].some((side) => group[side].some((item) => item.word === wanted))) || null;
  }

  /** Words of `language` for labels of the other one that have no synonym among `present` yet. */
  pairs(labels, language, present) {
    const there = new Set(present.map((word) => this.groupOf(word)));
    const offered = labels.map((label) => this.groupOf(label)).filter((group) => group && !there.has(group) && group[language].length);
    return [...new Set(offered)].map((group) => group[language][0].word).filter((word) => !present.includes(word));
  }
}
