package paycode

import (
	"errors"
	"fmt"
	"math/big"
	"testing"
)

// TestCheckDigitsAgreeWithLongDivision computes ISO 7064 MOD 97-10 a second way.
func TestCheckDigitsAgreeWithLongDivision(t *testing.T) {
	for _, body := range []string{"0", "77", "770001234567890123", "999999999999999999999999999999", "794"} {
		n, _ := new(big.Int).SetString(body+"00", 10)
		want := fmt.Sprintf("%02d", 98-new(big.Int).Mod(n, big.NewInt(97)).Int64())
		if got := CheckDigits(body); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
	if CheckDigits("") != "" || CheckDigits("7a") != "" {
		t.Error("what is not digits got check digits")
	}
}

func TestUnifiedRoundTrip(t *testing.T) {
	for _, v := range [][2]string{{"0000", "000000000000"}, {"0001", "234567890123"}, {"9999", "999999999999"}} {
		made, err := MakeUnified(v[0], v[1])
		if err != nil || len(made.Digits) != UnifiedDigits {
			t.Fatalf("%v: %+v %v", v, made, err)
		}
		read, err := ParseUnified(made.Digits)
		if err != nil || read != made || !read.Unified() {
			t.Errorf("%v: %+v %v", v, read, err)
		}
	}
}

func TestUnifiedRefusals(t *testing.T) {
	for s, want := range map[string]error{
		"": ErrNotUnified, "7700012345678901236": ErrNotUnified, "78000123456789012368": ErrNotUnified,
		"7700012345678901236x": ErrNotUnified, "77000123456789012369": ErrCheckDigits,
	} {
		if _, err := ParseUnified(s); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", s, err, want)
		}
	}
	if _, err := MakeUnified("001", "234567890123"); !errors.Is(err, ErrIssuer) {
		t.Error(err)
	}
	if _, err := MakeUnified("0001", "23456789012x"); !errors.Is(err, ErrToken) {
		t.Error(err)
	}
}

// TestEveryAliasOfTheCheckDigitsIsRefused: 00, 01 and 99 leave remainder 1 as
// well where 97, 98 and 02 are right.
func TestEveryAliasOfTheCheckDigitsIsRefused(t *testing.T) {
	for i := range 97 {
		made, err := MakeUnified("0001", fmt.Sprintf("%012d", i))
		if err != nil {
			t.Fatal(err)
		}
		right := 0
		for n := range 100 {
			if _, err := ParseUnified(fmt.Sprintf("%s%02d", made.Digits[:18], n)); err == nil {
				right++
			}
		}
		if right != 1 {
			t.Fatalf("token %d: %d spellings", i, right)
		}
	}
}

func BenchmarkParseUnified(b *testing.B) {
	for b.Loop() {
		if _, err := ParseUnified("77000123456789012368"); err != nil {
			b.Fatal(err)
		}
	}
}
