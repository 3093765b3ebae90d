package schemes

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tongma "github.com/tongma/tongma"
)

func (p Party) word() string {
	if p == PartyNone {
		return "-"
	}
	return feeRoles[p-PartyIssuer]
}

// words is a rule in one line.
func (r *FeeRule) words() string {
	s := fmt.Sprintf("%s %s>%s %sbp+%d [%d,%d] %s", r.Kind, r.From.word(), r.To.word(), r.BasisPoints, r.FlatMinor, r.MinMinor, r.MaxMinor, r.OnRefund)
	for _, share := range r.Shares {
		s += fmt.Sprintf(" %s:%d", share.To.word(), share.Weight)
	}
	for _, tier := range r.Tiers {
		s += fmt.Sprintf(" >=%d:%sbp+%d", tier.AboveMinor, tier.BasisPoints, tier.FlatMinor)
	}
	return s + " " + r.Currency.Code()
}

func TestTheNewestFeesInForceHoldAlone(t *testing.T) {
	d := marketed(t)
	old := "interchange acquirer>issuer 80bp+0 [25,5000] return THB | scheme acquirer>- 0bp+10 [0,0] keep scheme:2 switch:1 THB"
	tiered := "switch acquirer>switch 0bp+0 [0,0] keep >=0:12.5bp+0 >=100000:10bp+5 THB"
	for _, c := range []struct {
		scheme   tongma.SchemeID
		op       tongma.Operation
		currency tongma.Currency
		at       string
		want     string
	}{
		{"lotus", tongma.OpPay, tongma.THB, "2025-12-31T23:59:59.999+07:00", ""},
		{"lotus", tongma.OpPay, tongma.THB, "2026-01-01T00:00:00+07:00", old},
		{"lotus", tongma.OpPay, tongma.THB, "2026-06-30T23:59:59.999+07:00", old},
		{"lotus", tongma.OpPay, tongma.THB, "2026-07-01T00:00:00+07:00", tiered},
		{"lotus", tongma.OpPay, tongma.THB, "2036-07-01T00:00:00+07:00", tiered},
		{"lotus", tongma.OpTransfer, tongma.THB, "2026-12-01T00:00:00+07:00", old},
		{"lotus", tongma.OpTransfer, tongma.THB, "2027-01-01T00:00:00+07:00", ""},
		{"orchid", tongma.OpTransfer, tongma.THB, "2027-01-01T00:00:00+07:00", ""},
		{"orchid", tongma.OpPay, tongma.THB, "2026-07-01T00:00:00+07:00", ""},
		{"lotus", tongma.OpPay, tongma.HKD, "2026-07-01T00:00:00+07:00", ""},
		{"lotus", tongma.OpRefund, tongma.THB, "2026-07-01T00:00:00+07:00", ""},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range d.Fees(c.scheme, c.op, c.currency, at.UnixMilli()) {
			if err := r.Check(); err != nil {
				t.Error(err)
			}
			got = append(got, r.words())
		}
		if s := strings.Join(got, " | "); s != c.want {
			t.Errorf("%s %s %s at %s:\n got %s\nwant %s", c.op, c.scheme, c.currency, c.at, s, c.want)
		}
	}
	if len(d.FeeSets()) != 3 || d.SwitchParty() != "market-ops" {
		t.Errorf("%d sets, the switch is %q", len(d.FeeSets()), d.SwitchParty())
	}
	lotus, _ := d.Scheme("lotus")
	orchid, _ := d.Scheme("orchid")
	if lotus.FeeParty != "lotus-office" || orchid.FeeParty != "orchid" {
		t.Errorf("fees go to %q and %q", lotus.FeeParty, orchid.FeeParty)
	}
}

func TestFindingFeesAllocatesNothing(t *testing.T) {
	d, none := marketed(t), sandboxed(t)
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	if n := testing.AllocsPerRun(100, func() {
		d.Fees("lotus", tongma.OpPay, tongma.THB, at)
		d.Fees("orchid", tongma.OpPay, tongma.THB, at)
		none.Fees("wechat", tongma.OpPay, tongma.CNY, at)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFees(b *testing.B) {
	d := marketed(b)
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	b.ReportAllocs()
	for b.Loop() {
		d.Fees("orchid", tongma.OpPay, tongma.THB, at)
	}
}

func TestFaultsOfFees(t *testing.T) {
	const (
		points = `basis_points: "80", min: "0.25", max: "50.00", on_refund: return`
		split  = `shares: [{to: scheme, weight: 2}, {to: switch, weight: 1}]`
		rule   = "/fees/0/rules/0"
	)
	eachFault(t, []fault{
		{"switch_party: market-ops", "switch_party: market-opps", "", tongma.ParticipantUnknown, "/switch_party: there is no such participant; did you mean market-ops?"},
		{"switch_party: market-ops\n", "", "name: market\n", tongma.FieldMissing, "/switch_party: is missing, and a rule of /fees/0 names the switch"},
		{"fee_party: lotus-office", "fee_party: lotus-offce", "", tongma.ParticipantUnknown, "/schemes/0/fee_party: there is no such participant; did you mean lotus-office?"},
		{"fee_party: lotus-office", "fee_party: market-shops", "", 0, ""},
		{"    caps: {THB: \"0\"}\n    accounts:\n      - {agent: river-bank, currency: THB, account: OFFICE/764, number: \"4713\"}\n", "    caps: {KHR: \"0\"}\n", "shares: [", tongma.FieldInvalid, "/fees/0/rules/1: names lotus-office, who has no account in THB: give it a cap"},
		{"roles: [service]", "roles: [service, issuer]", "", tongma.FieldInvalid, "/participants/3/roles: says service, which is for participants that are neither acquirer nor issuer"},
		{"currency: THB\n    effective_from: 2026-01", "curency: THB\n    effective_from: 2026-01", "", tongma.FieldUnknown, "/fees/0/curency: no such key; did you mean currency?"},
		{"effective_from: 2026-01-01T00:00:00+07:00", "effective_from: 2026-01-01", "effective_from: 2026-01-01\n", tongma.FieldInvalid, "/fees/0/effective_from: must be an instant with its offset, as 2026-05-01T00:00:00+08:00"},
		{"    effective_from: 2026-01-01T00:00:00+07:00\n", "", "- schemes: [lotus]\n    currency", tongma.FieldMissing, "/fees/0/effective_from: is missing"},
		{"effective_from: 2026-07-01", "effective_from: 2026-01-01", "2026-01-01T00:00:00+07:00\n    rules:\n      - kind", tongma.FieldInvalid, "/fees/1/effective_from: is that of an earlier set for pay of lotus in THB"},
		{"operations: [pay]", "operations: [pey]", "", tongma.FieldInvalid, "/fees/1/operations/0: must be one of pay, transfer; did you mean pay?"},
		{"operations: [pay]", "operations: [pay, pay]", "", tongma.FieldInvalid, "/fees/1/operations/1: stands twice"},
		{"operations: [pay]", "operations: []", "", tongma.FieldInvalid, "/fees/1/operations: is empty; leave it out if pay and transfer are meant"},
		{"  - schemes: [lotus]\n    operations", "  - schemes: [locus]\n    operations", "", tongma.FieldInvalid, "/fees/1/schemes/0: there is no such scheme; did you mean lotus?"},
		{"  - schemes: [lotus]\n    operations: [pay]\n    currency: THB", "  - schemes: [lotus]\n    operations: [pay]\n    currency: HKD", "- schemes: [lotus]\n    operations", tongma.FieldInvalid, "/fees/1/schemes/0: does not clear in HKD"},
		{"kind: interchange", "kind: interchnage", "", tongma.FieldInvalid, rule + "/kind: must be one of interchange, scheme, switch; did you mean interchange?"},
		{"from: acquirer, to: issuer", "from: aquirer, to: issuer", "", tongma.FieldInvalid, rule + "/from: must be one of issuer, acquirer, scheme, switch; did you mean acquirer?"},
		{"from: acquirer, to: issuer", "from: acquirer, to: acquirer", "", tongma.FieldInvalid, rule + "/to: must not be who pays the fee"},
		{"from: acquirer, to: issuer", "from: acquirer", points, tongma.FieldMissing, rule + "/to: is missing, and so are shares"},
		{split, "to: scheme, " + split, "", tongma.FieldInvalid, "/fees/0/rules/1/shares: must not stand beside to"},
		{split, "shares: [{to: acquirer, weight: 2}]", "", tongma.FieldInvalid, "/fees/0/rules/1/shares/0/to: must not be who pays the fee"},
		{split, "shares: [{to: scheme, weight: 0}]", "", tongma.FieldInvalid, "/fees/0/rules/1/shares/0/weight: must be a whole number from 1 to 1000000"},
		{split, "shares: [{to: scheme, weigth: 1}]", "", tongma.FieldUnknown, "/fees/0/rules/1/shares/0/weigth: no such key; did you mean weight?"},
		{`basis_points: "80"`, `basis_points: "-80"`, "", tongma.FieldInvalid, rule + "/basis_points: must be a decimal with at most 6 decimals, without sign or commas"},
		{`basis_points: "80"`, `basis_points: "8e1"`, "", tongma.FieldInvalid, rule + "/basis_points: must be a decimal with at most 6 decimals, without sign or commas"},
		{`basis_points: "80"`, `basis_points: "0.1234567"`, "", tongma.FieldInvalid, rule + "/basis_points: must be a decimal with at most 6 decimals, without sign or commas"},
		{`basis_points: "80"`, `basis_points: "10000.1"`, "", tongma.FieldInvalid, rule + "/basis_points: must be at most 10000, which is the whole amount"},
		{points, "on_refund: return", "", tongma.FieldMissing, rule + "/basis_points: is missing, and so are flat and tiers: the rule takes nothing"},
		{points, `basis_points: "80", min: "51.00", max: "50.00"`, "", tongma.FieldInvalid, rule + "/min: must not be more than max"},
		{points, `basis_points: "80", min: "0.255"`, "", tongma.AmountDecimals, rule + "/min: must be a decimal of major units with at most 2 decimals, without sign or commas"},
		{"on_refund: return", "on_refund: back", "", tongma.FieldInvalid, rule + "/on_refund: must be one of keep, return"},
		{"        tiers:\n", "        flat: \"1.00\"\n        tiers:\n", `- {above: "0"`, tongma.FieldInvalid, "/fees/1/rules/0/tiers: must not stand beside basis_points or flat; each tier has its own"},
		{`{above: "0", basis`, `{above: "1.00", basis`, "", tongma.FieldInvalid, "/fees/1/rules/0/tiers/0/above: must be 0 for the first tier, so that every amount has one"},
		{`above: "1000.00"`, `above: "0"`, `above: "0", basis_points: "10"`, tongma.FieldInvalid, "/fees/1/rules/0/tiers/1/above: must be more than that of the tier before it"},
		{split, "shares: [" + strings.Repeat("{to: scheme, weight: 1}, ", 7) + "{to: switch, weight: 1}]", "- {kind: interchange", tongma.FieldInvalid, "/fees/0/rules: make 9 legs, shares counted one by one; at most 8 are allowed"},
	})
}

func TestAServiceRunsNoScheme(t *testing.T) {
	_, _, err := market(t, "participant: lotus\n", "participant: lotus-office\n")
	if err == nil || !strings.Contains(err.Error(), "/schemes/0/participant: must be an acquirer or an issuer") {
		t.Error(err)
	}
}
