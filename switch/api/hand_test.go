package api

import (
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/switch/settle"
)

// TestTwoPeopleSayWhatTheAgentDid: where no agent is connected, the word of one changes
// nothing, and that of two settles the window.
func TestTwoPeopleSayWhatTheAgentDid(t *testing.T) {
	b := withOffice(t)
	b.api.cfg.Settler = settle.New(settle.Options{Ledger: b.engine.Ledger(), Directory: b.engine.Directory, Agent: func(*clearing.Sheet, tongma.Currency) settle.Agent { return nil }})
	b.answer(b.pay("k1", 1, 5_000), 200)
	b.ask("operator", "POST", "/v1/windows/1/close", "")
	b.ask("operator", "POST", "/v1/windows/1/settle", "")
	ids := map[string]string{}
	for _, in := range decode[Window](t, b.ask("operator", "GET", "/v1/windows/1", "")).Instructions {
		ids[in.Direction] = in.ID
	}
	say := func(who, which, action, body string) reply {
		return b.ask(who, "POST", "/v1/windows/1/instructions/"+ids[which]+"/"+action, body)
	}
	seen := `{"evidence":"camt.053 0817, entry 12"}`
	b.refused(say("wallet", "debit", "confirm", seen), 403, tongma.NotPermittedHere)
	b.refused(say("ann", "debit", "confirm", `{}`), 400, tongma.FieldInvalid)
	b.refused(say("ann", "debit", "confirm", `{"evidence":"x","part":{"minor":1,"currency":"USD"}}`), 422, tongma.CurrencyMismatch)
	b.refused(say("ann", "debit", "confirm", `{"evidence":"x","part":{"minor":0,"currency":"CNY"}}`), 422, tongma.AmountInvalid)
	b.refused(say("ann", "debit", "forget", seen), 404, tongma.OperationUnknown)
	b.refused(say("ann", "credit", "confirm", seen), 409, tongma.CreditsWait)
	b.refused(b.ask("ann", "POST", "/v1/windows/1/instructions/none/confirm", seen), 404, tongma.InstructionUnknown)
	if dry := decode[HandDone](t, b.ask("ann", "POST", "/v1/windows/1/instructions/"+ids["debit"]+"/confirm?dry_run=true", seen)); !dry.DryRun || dry.Entry != 0 {
		t.Fatalf("%+v", dry)
	}
	if first := decode[HandDone](t, say("ann", "debit", "confirm", seen)); !first.Waits || first.Entry == 0 || len(first.Words) != 1 || first.State != "collecting" || !strings.Contains(first.Money, "second person") {
		t.Fatalf("%+v", first)
	}
	list := decode[WordList](t, b.ask("operator", "GET", "/v1/windows/1/words", ""))
	if len(list.Words) != 1 || list.Words[0].Maker != "ann" || list.Words[0].Says != "settle" || list.Words[0].Amount != "50.00" || list.Words[0].From != "wallet" {
		t.Fatalf("%+v", list)
	}
	b.refused(say("bob", "debit", "refuse", seen), 422, tongma.ExistsOtherContent)
	decode[HandDone](t, say("ann", "debit", "dismiss", ""))
	decode[HandDone](t, say("bob", "debit", "confirm", seen))
	if both := decode[HandDone](t, say("ann", "debit", "confirm", seen)); both.Waits || both.State != "paying" || len(both.Words) != 0 {
		t.Fatalf("%+v", both)
	}
	decode[HandDone](t, say("ann", "credit", "confirm", seen))
	if end := decode[HandDone](t, say("bob", "credit", "confirm", seen)); end.State != "settled" {
		t.Fatalf("%+v", end)
	}
	b.api.cfg.Auth = people{1}
	b.refused(say("operator", "credit", "confirm", seen), 403, tongma.NotPermittedHere)
	b.refused(b.ask("operator", "GET", "/v1/windows/9/words", ""), 404, tongma.WindowUnknown)
}
