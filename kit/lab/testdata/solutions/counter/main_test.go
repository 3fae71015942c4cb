package main

import "testing"

func TestStep(t *testing.T) {
	if step() != 1 {
		t.Fatal("step is not 1")
	}
}
