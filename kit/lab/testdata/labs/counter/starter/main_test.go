package main

// Write your tests here.
