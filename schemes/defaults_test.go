package schemes

import (
	"testing"

	tongma "github.com/tongma/tongma"
)

func TestDefaultRulesAreOfAModelAndACurrency(t *testing.T) {
	d := marketed(t)
	r, ok := d.DefaultRules("home", tongma.THB)
	want := DefaultRules{Model: "home", Currency: tongma.THB, Guarantee: Guarantee{"market-fund", 100_000_00},
		LossSharing: []LossShare{{"lotus", 3, 30_000_00}, {"orchid", 2, 20_000_00}}, Recast: true}
	if !ok || asJSON(t, r) != asJSON(t, want) {
		t.Errorf("%+v", r)
	}
	if r, ok := d.DefaultRules("abroad", tongma.HKD); !ok || r.AmountMinor != 50_000_00 || r.Recast || r.LossSharing != nil {
		t.Errorf("%+v", r)
	}
	if r, ok := d.DefaultRules(DefaultModel, tongma.HKD); !ok || r.Fund != "" || !r.Recast {
		t.Errorf("%+v", r)
	}
	if r, ok := d.DefaultRules("abroad", tongma.THB); ok {
		t.Errorf("rules that nobody wrote: %+v", r)
	}
	all := d.AllDefaultRules()
	if len(all) != 3 || all[0].Model != DefaultModel || all[1].Model != "abroad" || all[2].Model != "home" {
		t.Errorf("%+v", all)
	}
}

func TestFaultsOfDefaultRules(t *testing.T) {
	const orchid = `{participant: orchid, weight: 2, cap: "20000.00"}`
	eachFault(t, []fault{
		{"loss_sharing:", "loss_shering:", "", tongma.FieldUnknown, "/default_rules/0/loss_shering: no such key; did you mean loss_sharing?"},
		{"- model: home", "- model: hom", "", tongma.ModelUnknown, "/default_rules/0/model: there is no such settlement model; did you mean home?"},
		{"- model: home\n    currency: THB", "- model: home\n    currency: HKD", "    currency: HKD\n    guarantee: {fund: market-fund, amount: \"100000", tongma.FieldInvalid, "/default_rules/0/currency: is no currency of model home"},
		{"- model: home\n    currency: THB\n", "- model: home\n", "", tongma.FieldMissing, "/default_rules/0/currency: is missing"},
		{"  - currency: HKD\n    recast", "  - currency: HKD\n    model: abroad\n    recast", "  - currency: HKD\n", tongma.FieldInvalid, "/default_rules/2: this model and currency was given before"},
		{`fund: market-fund, amount: "100000.00"`, `fund: market-found, amount: "100000.00"`, "", tongma.ParticipantUnknown, "/default_rules/0/guarantee/fund: there is no such participant; did you mean market-fund?"},
		{`fund: market-fund, amount: "50000.00"`, `fund: market-ops, amount: "50000.00"`, "", tongma.FieldInvalid, "/default_rules/1/guarantee/fund: has no account in HKD: give it a cap"},
		{`fund: market-fund, amount: "100000.00"`, `fund: market-fund, amount: "0"`, "", tongma.FieldInvalid, "/default_rules/0/guarantee/amount: must be from 0.01 to 1000000000000000.00"},
		{`fund: market-fund, amount: "100000.00"}`, `fund: market-fund}`, "", tongma.FieldMissing, "/default_rules/0/guarantee/amount: is missing"},
		{orchid, `{participant: orchit, weight: 2, cap: "20000.00"}`, "", tongma.ParticipantUnknown, "/default_rules/0/loss_sharing/0/participant: there is no such participant; did you mean orchid?"},
		{orchid, `{participant: lotus, weight: 2, cap: "20000.00"}`, "- {participant: lotus, weight: 3", tongma.FieldInvalid, "/default_rules/0/loss_sharing/1/participant: stands twice"},
		{orchid, `{participant: market-fund, weight: 2, cap: "20000.00"}`, "", tongma.FieldInvalid, "/default_rules/0/loss_sharing/0/participant: is the fund, which pays before"},
		{orchid, `{participant: orchid, weight: 2}`, "", tongma.FieldMissing, "/default_rules/0/loss_sharing/0/cap: is missing"},
		{orchid, `{participant: orchid, weight: 0.5, cap: "20000.00"}`, "", tongma.FieldInvalid, "/default_rules/0/loss_sharing/0/weight: must be a whole number from 1 to 1000000"},
		{"recast: true\n  - model: abroad", "recast: yes\n  - model: abroad", "recast: yes", tongma.FieldInvalid, "/default_rules/0/recast: must be true or false"},
	})
}
