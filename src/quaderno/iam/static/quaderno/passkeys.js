// Says on the page that a key failed or was refused; the library only tells the console.
document.addEventListener('allauth.error', () => {
  document.getElementById('passkey-problem').hidden = false
})
