package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/switch/settle"
)

// HandBody is what a person says of an instruction. Two people say it alike.
type HandBody struct {
	Part     *tongma.Money `json:"part,omitempty" doc:"confirm: how much of it moved; none: all of it"`
	Evidence string        `json:"evidence" maxLength:"64" doc:"where it is to be seen, in one line: camt.053 0817, entry 12"`
}

// WordView is what people, or the agent, said of an instruction.
type WordView struct {
	Instruction string `json:"instruction"`
	Says        string `json:"says" enum:"settle,short,cover,cover-refused" doc:"what it stands for: it moved, the debtor is short, somebody paid for who is short, or did not"`
	From        string `json:"from,omitempty" doc:"none: the settlement account"`
	To          string `json:"to,omitempty"`
	Payer       string `json:"payer,omitempty" doc:"of a cover"`
	Currency    string `json:"currency"`
	Amount      string `json:"amount"`
	Evidence    string `json:"evidence,omitempty"`
	Maker       string `json:"maker,omitempty" doc:"who said it first"`
	Entry       uint64 `json:"entry" doc:"in the journal"`
}

// WordList is the answer to GET /v1/windows/{id}/words.
type WordList struct {
	Window string     `json:"window"`
	Words  []WordView `json:"words" doc:"that wait for a second person"`
	Asked  []WordView `json:"asked" doc:"covers that somebody was asked for, and whose end is not known: people may say it of them too"`
}

// HandDone is what came of a person's word, and how the window stands.
type HandDone struct {
	Window
	Money  string     `json:"money" doc:"what happened to it, and what comes next"`
	Waits  bool       `json:"waits,omitempty" doc:"for a second person, who says the same"`
	Exists bool       `json:"exists,omitempty" doc:"it stood already"`
	DryRun bool       `json:"dry_run,omitempty"`
	Entry  uint64     `json:"entry,omitempty" doc:"in the journal; none if nothing was written"`
	At     string     `json:"at,omitempty" format:"date-time"`
	Words  []WordView `json:"words" doc:"all that wait for a second person"`
}

// byHand are the three things that a person can say of an instruction.
var byHand = map[string]func(Settler, context.Context, settle.ByHand) (settle.HandDone, error){
	"confirm": Settler.Confirm, "refuse": Settler.Refuse, "dismiss": Settler.Dismiss,
}

// sayByHand writes down what a person says that the agent did with an instruction.
func (c *call) sayByHand() error {
	do, known := byHand[c.r.PathValue("action")]
	if !known {
		return &tongma.Error{Op: "http", Reason: tongma.OperationUnknown, Detail: "confirm, refuse or dismiss"}
	}
	if c.cfg.Settler == nil {
		return &tongma.Error{Op: "http.by-hand", Reason: tongma.OperationUnknown, Detail: "this switch has nothing settled"}
	}
	id, err := c.windowID()
	if err != nil {
		return err
	}
	h := settle.ByHand{Window: id, Instruction: c.r.PathValue("instruction"), By: c.person}
	if h.DryRun, err = c.dryRun(); err != nil {
		return err
	}
	body, err := readBody[HandBody](c, c.r.PathValue("action") == "dismiss")
	if err != nil {
		return err
	}
	if err := c.two(); err != nil {
		return err
	}
	h.Evidence = body.Evidence
	ctx, cancel := c.within(settleWithin) // the agent may be asked
	defer cancel()
	if body.Part != nil {
		if h.Part, err = c.partOf(&h, *body.Part); err != nil {
			return err
		}
	}
	done, err := do(c.cfg.Settler, ctx, h)
	if err != nil {
		return err
	}
	v := HandDone{Window: c.window(&done.Sheet), Money: done.Money, Waits: done.Waits, Exists: done.Exists, DryRun: done.DryRun, Entry: done.Entry, Words: viewWords(done.Words)}
	if !done.At.IsZero() {
		v.At = done.At.Format(time.RFC3339Nano)
	}
	return c.send(v)
}

// partOf is a part in minor units, if it is of the instruction's currency and more
// than nothing. Of an instruction that is not due, that is said by whom it is put to.
func (c *call) partOf(h *settle.ByHand, part tongma.Money) (int64, error) {
	currency := part.Currency
	err := c.read(func(b *clearing.Book) {
		s, _ := b.Sheet(h.Window)
		for _, in := range clearing.Instruct(s) {
			if in.ID == h.Instruction {
				currency = in.Amount.Currency
			}
		}
		for _, w := range b.Asked(h.Window) {
			if w.Instruction == h.Instruction {
				currency = w.Amount.Currency
			}
		}
	})
	switch {
	case err != nil:
		return 0, err
	case part.Minor <= 0:
		return 0, &tongma.Error{Op: "http.by-hand", Reason: tongma.AmountInvalid, Field: "/part"}
	case currency != part.Currency:
		return 0, &tongma.Error{Op: "http.by-hand", Reason: tongma.CurrencyMismatch, Field: "/part/currency", Detail: "the instruction is in " + currency.Code()}
	}
	return part.Minor, nil
}

// words lists what people said of a window's instructions and what waits for them.
func (c *call) words() error {
	id, err := c.windowID()
	if err != nil {
		return err
	}
	list := WordList{Window: id.String()}
	there := false
	if err := c.read(func(b *clearing.Book) {
		_, there = b.Sheet(id)
		list.Words, list.Asked = viewWords(b.Words(id)), viewWords(b.Asked(id))
	}); err != nil {
		return err
	}
	if !there {
		return &tongma.Error{Op: "window", Reason: tongma.WindowUnknown, Field: id.String()}
	}
	return c.send(list)
}

func viewWords(words []clearing.Word) []WordView {
	out := []WordView{}
	for _, w := range words {
		out = append(out, WordView{w.Instruction, w.Kind.String(), string(w.Debtor), string(w.Creditor), string(w.Payer), w.Amount.Currency.Code(), w.Amount.Decimal(), w.Evidence, w.Maker, w.Entry})
	}
	return out
}

func (a *API) handOperations(d describe) []operation {
	const tag = "books"
	window := pathParam(`"win_000012" or "12"`)
	words := with(base("list-window-words", tag, "GET", "/v1/windows/{id}/words", "See what waits for a second person's word",
		"What one person said that the settlement agent did, and covers that were asked for and have no answer."), window)
	words.Responses = map[string]*huma.Response{"200": d.json("Both lists, oldest first.", WordList{})}
	d.problems(&words, reasonsAsked, reasonsBooks, []tongma.Reason{tongma.WindowUnknown})
	say := d.does(with(base("say-by-hand", tag, "POST", "/v1/windows/{id}/instructions/{instruction}/{action}", "Say what the settlement agent did with an instruction",
		"Where no agent is connected, or it does not answer. It takes two people: what the first one says changes nothing; when a second one says the same, on the same evidence, "+
			"it stands as if the agent had said it. Confirm: it moved, all of it or a part. Refuse: it will not, so that its debtor is short. Dismiss: a word that waits is taken back."),
		window, &huma.Param{Name: "instruction", In: "path", Required: true, Description: "its id, of the window's instructions", Schema: &huma.Schema{Type: huma.TypeString}},
		&huma.Param{Name: "action", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"confirm", "refuse", "dismiss"}}}),
		HandBody{}, "What came of it, and how the window stands.", HandDone{}, (*call).sayByHand,
		[]tongma.Reason{tongma.WindowUnknown, tongma.WindowNotClosed, tongma.StateConflict, tongma.InstructionUnknown, tongma.AgentContradicts, tongma.ProposalUnknown, tongma.MakerIsChecker,
			tongma.CreditsWait, tongma.MoreThanDue, tongma.AmountInvalid, tongma.CurrencyMismatch, tongma.ExistsOtherAmount, tongma.ExistsOtherContent})
	say.RequestBody.Required = false
	return []operation{{words, operatorOnly, (*call).words}, say}
}
